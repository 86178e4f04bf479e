import { copyFile, link, mkdir, readFile, rm } from "node:fs/promises";
import { join } from "node:path";
import { isErrno } from "../../../proto/errno.ts";
import { KhwError } from "../../../proto/errors.ts";
import { addFiles, makeFolder, type NewFiles, syncFolder, writeWhole } from "../folder.ts";
import { decideReplacement, makeStaging, replaceFrom } from "../staging.ts";
import type { PresentFiles } from "./present.ts";

/**
 * Reads the files that exist in the folder. Returns an empty map if the folder does not exist.
 * @throws KhwError IO_FAILED
 */
export async function readPresent(folder: string, names: readonly string[]): Promise<PresentFiles> {
  const found = await Promise.all(names.map(async (name) => [name, await readIfThere(join(folder, name))] as const));
  return new Map(found.flatMap(([name, content]) => (content === undefined ? [] : [[name, content] as const])));
}

/**
 * Adds the files to the folder, and creates the folder if needed. Overwrites nothing.
 * @throws KhwError
 */
export async function writeNew(folder: string, files: NewFiles): Promise<void> {
  await makeFolder(folder);
  await addFiles(folder, files);
}

/**
 * Replaces the files with the same names. Keeps the old files in a separate subfolder, and returns the subfolder's
 * path. No file is replaced before all old files are in that subfolder. If the process is killed between two
 * replacements, `completeFolder` replaces the remaining files.
 * @throws KhwError IO_FAILED
 */
export async function replaceFiles(folder: string, files: NewFiles, now: Date): Promise<string> {
  const backup = join(folder, `replaced-${now.toISOString().replaceAll(/[:.]/g, "-")}`);
  let staging: string | undefined;
  let decided: string | undefined;
  try {
    await mkdir(backup, { mode: 0o700 });
    for (const name of Object.keys(files)) await keepOld(join(folder, name), join(backup, name));
    staging = await makeStaging(folder);
    await writeWhole(staging, files);
    await syncFolder(backup);
    decided = await decideReplacement(staging, backup);
    await syncFolder(backup);
    await replaceFrom(decided);
    await syncFolder(folder);
    return backup;
  } catch (error) {
    // After the replacement is recorded, khw can only complete it, not revert it.
    if (decided !== undefined)
      throw fileError(folder, `not all files were replaced (the old files are in ${backup})`, error);
    if (staging !== undefined) await rm(staging, { recursive: true, force: true });
    throw fileError(folder, "cannot be written", error);
  }
}

/** Keeps a copy of the old file. Uses a hard link if possible, so that the copy is never incomplete. */
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
    if (isErrno(error, "ENOENT", "ENOTDIR")) return undefined;
    throw fileError(path, "cannot be read", error);
  }
}

function fileError(path: string, what: string, cause: unknown): KhwError {
  return new KhwError("IO_FAILED", `${path}: ${what}: ${cause instanceof Error ? cause.message : String(cause)}`, {
    hint: "correct this, then run the command again; it first completes the interrupted work",
    cause,
  });
}
