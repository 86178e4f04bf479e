import { getSystemErrorMessage } from "node:util";
import { codeOf, exhaustionHint, isErrno } from "../../proto/errno.ts";
import { KhwError } from "../../proto/errors.ts";

/** Returns the operating system's text for a failure ("no space left on device"); undefined for other errors. */
export function systemMessage(error: unknown): string | undefined {
  const own = error instanceof Error && "errno" in error && typeof error.errno === "number";
  return own ? getSystemErrorMessage(Number(error.errno)) : undefined;
}

const hints: Readonly<Record<string, string>> = {
  ENOENT: "create its folder, which is missing, then run the command again",
  EISDIR: "move away the folder at this path, then run the command again",
  ENOSPC: "free space on the file system that holds it (the disk is full), then run the command again",
  EDQUOT: "free space on the file system that holds it (the quota is used up), then run the command again",
  EROFS:
    "check whether the file system is read-only (`dmesg`), or a link leads out of ReadWritePaths in the agent's unit",
  EACCES: "run the agent as root, and allow the path in its unit (ReadWritePaths)",
  EPERM: "run the agent as root, and check that the file is not immutable (`lsattr`)",
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
    throw new KhwError("IO_FAILED", `${path}: ${doing}: ${message}`, {
      hint: hints[codeOf(error)] ?? exhaustionHint(error),
      cause: error,
    });
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
