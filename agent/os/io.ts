import { getSystemErrorMessage } from "node:util";
import { codeOf, exhaustionHint, isErrno } from "../../proto/errno.ts";
import { KhwError } from "../../proto/errors.ts";

/**
 * Returns the operating system's message for a failed system call, for example "no space left on device"; undefined for
 * other errors.
 */
export function systemMessage(error: unknown): string | undefined {
  const own = error instanceof Error && "errno" in error && typeof error.errno === "number";
  return own ? getSystemErrorMessage(Number(error.errno)) : undefined;
}

const hints: Readonly<Record<string, string>> = {
  ENOENT: "create the missing parent folder, then run the command again",
  EISDIR: "move the folder at this path out of the way, then run the command again",
  ENOSPC: "free up space on the file system that contains this path (the disk is full), then run the command again",
  EDQUOT: "free up space on the file system that contains this path (the quota is used up), then run the command again",
  EROFS:
    "check whether the file system is read-only (`dmesg`), or whether a symlink points outside ReadWritePaths in the agent's unit",
  EACCES: "run the agent as root, and allow the path in its unit (ReadWritePaths)",
  EPERM: "run the agent as root, and check that the file is not immutable (`lsattr`)",
};

/**
 * Runs a file operation. A failed system call becomes IO_FAILED. This error contains the operation's path, because the
 * call itself may have used a temporary path. Other errors are passed on unchanged.
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
