import { lstat, mkdir, open, rm } from "node:fs/promises";
import { dirname } from "node:path";
import { isErrno } from "../../proto/errno.ts";
import { KhwError } from "../../proto/errors.ts";

/**
 * Refuses a path that exists, even if the path is a link without a target.
 * @throws KhwError INVALID_ARGUMENT; IO_FAILED if the path cannot be checked
 */
export async function refuseExisting(path: string, hint: string): Promise<void> {
  try {
    await lstat(path);
  } catch (error) {
    if (isErrno(error, "ENOENT")) return;
    throw new KhwError("IO_FAILED", `${path} cannot be checked: ${reason(error)}`, { cause: error });
  }
  throw existing(path, hint);
}

/** Returns the error for a file that must not be replaced. */
export function existing(path: string, hint: string): KhwError {
  return new KhwError("INVALID_ARGUMENT", `${path} already exists`, { hint });
}

/**
 * Creates the file and its folder. Only the owner can read the file. Never replaces a file, even if another program
 * creates the file at the same time. If the file cannot be written completely, removes the file.
 * @throws KhwError INVALID_ARGUMENT if the file exists; IO_FAILED
 */
export async function createFile(path: string, text: string, hint: string): Promise<void> {
  await mkdir(dirname(path), { recursive: true, mode: 0o700 }).catch((cause: unknown) => {
    throw unwritable(path, cause);
  });
  const file = await open(path, "wx", 0o600).catch((cause: unknown) => {
    throw isErrno(cause, "EEXIST") ? existing(path, hint) : unwritable(path, cause);
  });
  try {
    await file.writeFile(text);
    await file.sync();
  } catch (cause) {
    await rm(path, { force: true });
    throw unwritable(path, cause);
  } finally {
    await file.close();
  }
}

function unwritable(path: string, cause: unknown): KhwError {
  return new KhwError("IO_FAILED", `${path} cannot be written: ${reason(cause)}`, { cause });
}

function reason(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
