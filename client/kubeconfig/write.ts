import { chmod, readFile, stat } from "node:fs/promises";
import { isErrno } from "../../proto/errno.ts";
import { KhwError } from "../../proto/errors.ts";
import { replaceFile } from "../files/replace.ts";

/**
 * Reads the file; returns empty text if the file does not exist.
 * @throws KhwError IO_FAILED
 */
export async function readKubeconfig(path: string): Promise<string> {
  try {
    return await readFile(path, "utf8");
  } catch (cause) {
    if (isErrno(cause, "ENOENT")) return "";
    throw kubeconfigError(path, "read", cause);
  }
}

/**
 * Replaces the entire contents of the file. Afterwards, only the owner can read the file.
 * @throws KhwError IO_FAILED
 */
export async function writeKubeconfig(path: string, text: string): Promise<void> {
  await replaceFile(path, text, 0o600);
}

/**
 * Makes the file inaccessible to all users except its owner.
 * @throws KhwError IO_FAILED
 */
export async function keepPrivate(path: string): Promise<void> {
  try {
    if (((await stat(path)).mode & 0o077) !== 0) await chmod(path, 0o600);
  } catch (cause) {
    throw kubeconfigError(path, "written", cause);
  }
}

function kubeconfigError(path: string, what: "read" | "written", cause: unknown): KhwError {
  const reason = cause instanceof Error ? cause.message : String(cause);
  return new KhwError("IO_FAILED", `${path} cannot be ${what}: ${reason}`, { cause });
}
