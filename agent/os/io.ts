import { getSystemErrorMessage } from "node:util";
import { KhwError } from "../../proto/errors.ts";

/** Returns an error's code ("ENOENT", "ECONNRESET", ...); empty if it has no code. */
export function codeOf(error: unknown): string {
  return error instanceof Error && "code" in error && typeof error.code === "string" ? error.code : "";
}

/** Whether an error has one of these codes. */
export function isErrno(error: unknown, ...codes: readonly string[]): boolean {
  return codes.includes(codeOf(error));
}

/** Returns the operating system's text for a failure ("no space left on device"); undefined for other errors. */
export function systemMessage(error: unknown): string | undefined {
  const own = error instanceof Error && "errno" in error && typeof error.errno === "number";
  return own ? getSystemErrorMessage(Number(error.errno)) : undefined;
}

const hints: Readonly<Record<string, string>> = {
  ENOENT: "the folder that it belongs into is missing: make it, then run the command again",
  EISDIR: "a folder stands in its place: move that away, then run the command again",
  ENOSPC: "the disk is full: free space on the file system that holds it, then run the command again",
  EDQUOT: "the quota is used up: free space on the file system that holds it, then run the command again",
  EROFS:
    "the file system is read-only (see `dmesg`), or a link leads out of what the agent's unit may write (ReadWritePaths)",
  EACCES: "the agent must run as root, and its unit must allow writing there (ReadWritePaths)",
  EPERM: "the agent must run as root, and the file must not be immutable (lsattr)",
};

/**
 * Runs a file operation. Its failure becomes IO_FAILED and names the path of the operation, not the temporary path
 * of the system call. Other errors pass unchanged.
 */
export async function io<T>(path: string, doing: string, operation: () => Promise<T>): Promise<T> {
  try {
    return await operation();
  } catch (error) {
    const message = systemMessage(error);
    if (message === undefined) throw error;
    throw new KhwError("IO_FAILED", `${path}: ${doing}: ${message}`, { hint: hints[codeOf(error)], cause: error });
  }
}

/** Returns the operation's result; undefined if the file does not exist. */
export async function orAbsent<T>(operation: () => Promise<T>): Promise<T | undefined> {
  try {
    return await operation();
  } catch (error) {
    if (isErrno(error, "ENOENT", "ENOTDIR")) return undefined;
    throw error;
  }
}
