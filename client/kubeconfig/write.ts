import { chmod, mkdir, open, readdir, readFile, readlink, realpath, rename, rm, stat } from "node:fs/promises";
import { basename, dirname, join, resolve } from "node:path";
import { KhwError } from "../../proto/errors.ts";
import { isAlive } from "../pki/staging.ts";

/**
 * Reads the file; returns an empty text if it does not exist.
 * @throws KhwError IO_FAILED
 */
export async function readKubeconfig(path: string): Promise<string> {
  try {
    return await readFile(path, "utf8");
  } catch (cause) {
    if (isMissing(cause)) return "";
    throw failed(path, "read", cause);
  }
}

/**
 * Replaces the file's whole content, readable only by its owner. At any moment the file has its old or its new
 * content. A link stays a link, and its target is replaced or created.
 * @throws KhwError IO_FAILED
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

/** Removes the temporary files of killed clients, since they contain the administrator's key. */
async function removeRemains(target: string): Promise<void> {
  const prefix = `${basename(target)}.khw-`;
  for (const name of await readdir(dirname(target))) {
    const pid = name.startsWith(prefix) ? name.slice(prefix.length) : "";
    if (/^\d+$/.test(pid) && !isAlive(Number(pid))) await rm(join(dirname(target), name), { force: true });
  }
}

/**
 * Removes all permissions of others on the file.
 * @throws KhwError IO_FAILED
 */
export async function keepPrivate(path: string): Promise<void> {
  try {
    if (((await stat(path)).mode & 0o077) !== 0) await chmod(path, 0o600);
  } catch (cause) {
    throw failed(path, "written", cause);
  }
}

/** Returns the final target of links, even if it does not exist yet; its folder is created. */
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
