import { copyFile, link, mkdir, readFile, rename, rm } from "node:fs/promises";
import { join } from "node:path";
import { KhwError } from "../../../proto/errors.ts";
import { addFiles, makeFolder, type NewFiles, syncFolder } from "../folder.ts";
import type { PresentFiles } from "./present.ts";

/** The content of those of the files that the folder has; none where there is no such folder. @throws KhwError IO_FAILED */
export async function readPresent(folder: string, names: readonly string[]): Promise<PresentFiles> {
  const found = await Promise.all(names.map(async (name) => [name, await readIfThere(join(folder, name))] as const));
  return new Map(found.flatMap(([name, content]) => (content === undefined ? [] : [[name, content] as const])));
}

/** Adds the files to the folder, which is made where it is not there; nothing is overwritten. @throws KhwError */
export async function writeNew(folder: string, files: NewFiles): Promise<void> {
  await makeFolder(folder);
  await addFiles(folder, files);
}

/**
 * Puts the files in the place of those of the same names, which stay in a folder of their own beside them; answers that
 * folder's path. Interrupted at any instant, each file is the old one or the new one, and the old ones are all there.
 * @throws KhwError IO_FAILED
 */
export async function replaceFiles(folder: string, files: NewFiles, now: Date): Promise<string> {
  const backup = join(folder, `replaced-${now.toISOString().replaceAll(/[:.]/g, "-")}`);
  const staging = `${backup}.new`;
  try {
    await mkdir(backup, { mode: 0o700 });
    for (const name of Object.keys(files)) await keepOld(join(folder, name), join(backup, name));
    await mkdir(staging, { mode: 0o700 });
    await addFiles(staging, files);
    for (const name of Object.keys(files)) await rename(join(staging, name), join(folder, name));
    await syncFolder(folder);
    return backup;
  } catch (error) {
    if (error instanceof KhwError) throw error;
    throw failed(folder, "cannot be written", error);
  } finally {
    await rm(staging, { recursive: true, force: true });
  }
}

/** Another name for the same file where that can be had: it then is all there at once. */
async function keepOld(path: string, kept: string): Promise<void> {
  try {
    await link(path, kept);
  } catch (error) {
    if (isErrno(error, "ENOENT")) return;
    if (!isErrno(error, "EPERM")) throw error;
    await copyFile(path, kept);
  }
}

async function readIfThere(path: string): Promise<string | undefined> {
  try {
    return await readFile(path, "utf8");
  } catch (error) {
    if (isErrno(error, "ENOENT") || isErrno(error, "ENOTDIR")) return undefined;
    throw failed(path, "cannot be read", error);
  }
}

function failed(path: string, what: string, cause: unknown): KhwError {
  return new KhwError("IO_FAILED", `${path}: ${what}: ${cause instanceof Error ? cause.message : String(cause)}`, {
    cause,
  });
}

function isErrno(error: unknown, code: string): boolean {
  return error instanceof Error && "code" in error && error.code === code;
}
