import { chmod, mkdir, open, readdir, readFile, readlink, realpath, rename, rm, stat } from "node:fs/promises";
import { basename, dirname, join, resolve } from "node:path";
import { KhwError } from "../../proto/errors.ts";
import { isAlive } from "../pki/staging.ts";

/** The text of the file; empty where there is none. @throws KhwError IO_FAILED */
export async function readKubeconfig(path: string): Promise<string> {
  try {
    return await readFile(path, "utf8");
  } catch (cause) {
    if (isMissing(cause)) return "";
    throw failed(path, "read", cause);
  }
}

/**
 * The text as the file's whole content, for its owner alone: at any instant the file is the old one or the new one. A link
 * stays one, and what it leads to is replaced, or made. @throws KhwError IO_FAILED
 */
export async function writeKubeconfig(path: string, text: string): Promise<void> {
  let temporary: string | undefined;
  try {
    const target = await targetOf(path);
    temporary = `${target}.khw-${process.pid}`;
    const file = await open(temporary, "wx", 0o600);
    try {
      await file.writeFile(text);
      await file.sync();
    } finally {
      await file.close();
    }
    await rename(temporary, target);
    await removeRemains(target);
  } catch (cause) {
    if (temporary !== undefined) await rm(temporary, { force: true });
    throw failed(path, "written", cause);
  }
}

/** Removes the temporary files of clients that were killed: they hold the administrator's key. */
async function removeRemains(target: string): Promise<void> {
  const prefix = `${basename(target)}.khw-`;
  for (const name of await readdir(dirname(target))) {
    const pid = name.startsWith(prefix) ? name.slice(prefix.length) : "";
    if (/^\d+$/.test(pid) && !isAlive(Number(pid))) await rm(join(dirname(target), name), { force: true });
  }
}

/** Takes from others what they may do with the file. @throws KhwError IO_FAILED */
export async function keepPrivate(path: string): Promise<void> {
  try {
    if (((await stat(path)).mode & 0o077) !== 0) await chmod(path, 0o600);
  } catch (cause) {
    throw failed(path, "written", cause);
  }
}

/** Where links lead to in the end, also where nothing is there yet but the folder, which is made. */
async function targetOf(path: string): Promise<string> {
  await mkdir(dirname(path), { recursive: true, mode: 0o700 });
  try {
    return await realpath(path);
  } catch (error) {
    if (!isMissing(error)) throw error;
    const next = await readlink(path).catch(() => undefined);
    return next === undefined ? path : targetOf(resolve(await realpath(dirname(path)), next));
  }
}

function isMissing(error: unknown): boolean {
  return error instanceof Error && "code" in error && error.code === "ENOENT";
}

function failed(path: string, what: "read" | "written", cause: unknown): KhwError {
  const reason = cause instanceof Error ? cause.message : String(cause);
  return new KhwError("IO_FAILED", `${path}: cannot be ${what}: ${reason}`, { cause });
}
