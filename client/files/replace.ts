import { mkdir, open, readdir, readlink, realpath, rename, rm } from "node:fs/promises";
import { basename, dirname, join, resolve } from "node:path";
import { isErrno } from "../../proto/errno.ts";
import { KhwError } from "../../proto/errors.ts";
import { isAlive } from "../pki/staging.ts";

/**
 * Replaces the entire contents of the file. At any moment, the file has either its old or its new contents. If the path
 * is a link, the link is kept, and its target is replaced or created.
 * @throws KhwError IO_FAILED
 */
export async function replaceFile(path: string, text: string, mode: number): Promise<void> {
  let temporary: string | undefined;
  try {
    const target = await finalTarget(path);
    temporary = `${target}.khw-${process.pid}`;
    const file = await open(temporary, "wx", mode);
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
    const reason = cause instanceof Error ? cause.message : String(cause);
    throw new KhwError("IO_FAILED", `${path} cannot be written: ${reason}`, { cause });
  }
}

/**
 * Removes temporary files left behind by clients that were killed, because these files may contain the administrator's
 * key.
 */
async function removeRemains(target: string): Promise<void> {
  const prefix = `${basename(target)}.khw-`;
  for (const name of await readdir(dirname(target))) {
    const pid = name.startsWith(prefix) ? name.slice(prefix.length) : "";
    if (/^\d+$/.test(pid) && !isAlive(Number(pid))) await rm(join(dirname(target), name), { force: true });
  }
}

/** Follows links to the final target, even if the target does not exist yet, and creates the target's folder. */
async function finalTarget(path: string): Promise<string> {
  await mkdir(dirname(path), { recursive: true, mode: 0o700 });
  try {
    return await realpath(path);
  } catch (error) {
    if (!isErrno(error, "ENOENT")) throw error;
    const next = await readlink(path).catch(() => undefined);
    return next === undefined ? path : finalTarget(resolve(await realpath(dirname(path)), next));
  }
}
