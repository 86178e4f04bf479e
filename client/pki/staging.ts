import { link, mkdtemp, readdir, rename, rm, stat } from "node:fs/promises";
import { dirname, join } from "node:path";
import { isErrno } from "../../proto/errno.ts";
import { KhwError } from "../../proto/errors.ts";

const addition = /^\.new-(\d+)-/;
/**
 * Matches the name of a folder with replaced files. The folder also contains the new files until all old files are
 * replaced.
 */
const replaced = /^replaced-/;
const replacement = /^\.replace-(\d+)$/;

/**
 * Creates a subfolder in which this process prepares new files. The files get their final names only after they are
 * complete.
 */
export async function makeStaging(folder: string): Promise<string> {
  return mkdtemp(join(folder, `.new-${process.pid}-`));
}

/**
 * Records that the staging folder's files are complete. From then on, these files must replace the files with the same
 * names, even if this process is killed. Returns the staging folder's new path. The subfolder `backup` contains the old
 * files under the same names.
 */
export async function decideReplacement(staging: string, backup: string): Promise<string> {
  const decided = join(backup, `.replace-${process.pid}`);
  await rename(staging, decided);
  return decided;
}

/**
 * Replaces the old files with the files in `decided`. Keeps `decided` until the last file is replaced, so that a later
 * run can find out which files are already replaced.
 */
export async function replaceFrom(decided: string): Promise<void> {
  const folder = dirname(dirname(decided));
  for (const name of await readdir(decided)) {
    const step = join(folder, `.${name}.replacing`);
    await rm(step, { force: true });
    await link(join(decided, name), step);
    await rename(step, join(folder, name));
    // If the file was already replaced, the rename does nothing, so this link must be removed.
    await rm(step, { force: true });
  }
  await rm(decided, { recursive: true, force: true });
}

/**
 * Completes the additions and replacements that a killed process had started in the folder. Removes the new files if
 * the process had not added any of them. Otherwise, adds the remaining files, because all new files are complete. Does
 * not change the work of a running process.
 * @throws KhwError CREDENTIAL_INVALID if a file is neither its old nor its new version
 */
export async function finishInterrupted(folder: string): Promise<void> {
  for (const name of await namesIn(folder)) {
    if (replaced.test(name)) await finishReplacements(join(folder, name));
    if (isLeft(addition.exec(name))) await finishAddition(folder, join(folder, name));
  }
}

function isLeft(match: RegExpExecArray | null): boolean {
  return match !== null && !isAlive(Number(match[1]));
}

async function finishReplacements(backup: string): Promise<void> {
  for (const name of await namesIn(backup)) {
    if (!isLeft(replacement.exec(name))) continue;
    const decided = join(backup, name);
    for (const file of await readdir(decided)) await refuseOther(file, { decided, backup });
    await replaceFrom(decided);
  }
}

async function refuseOther(
  name: string,
  { decided, backup }: { readonly decided: string; readonly backup: string },
): Promise<void> {
  const place = join(dirname(backup), name);
  if ((await isSame(place, join(decided, name))) || (await isSame(place, join(backup, name)))) return;
  if (!(await isThere(place)) && !(await isThere(join(backup, name)))) return;
  throw new KhwError("CREDENTIAL_INVALID", `${place} was changed after an interrupted command started to replace it`, {
    hint: `the old files are in ${backup}, the new files in ${decided}: put the correct files in place, then remove ${decided}`,
  });
}

async function isThere(path: string): Promise<boolean> {
  return stat(path).then(
    () => true,
    () => false,
  );
}

async function finishAddition(folder: string, staging: string): Promise<void> {
  const files = await readdir(staging);
  const begun = await Promise.all(files.map((file) => isSame(join(staging, file), join(folder, file))));
  if (begun.includes(true)) for (const file of files) await linkNew(join(staging, file), join(folder, file));
  await rm(staging, { recursive: true, force: true });
}

async function linkNew(from: string, to: string): Promise<void> {
  try {
    await link(from, to);
  } catch (error) {
    if (!isErrno(error, "EEXIST")) throw error;
  }
}

async function namesIn(folder: string): Promise<string[]> {
  try {
    return await readdir(folder);
  } catch (error) {
    if (isErrno(error, "ENOENT", "ENOTDIR")) return [];
    throw error;
  }
}

async function isSame(one: string, other: string): Promise<boolean> {
  try {
    const [a, b] = await Promise.all([stat(one, { bigint: true }), stat(other, { bigint: true })]);
    return a.ino === b.ino && a.dev === b.dev;
  } catch (error) {
    if (isErrno(error, "ENOENT")) return false;
    throw error;
  }
}

/**
 * Whether another process with this ID is running. This process itself does not count: a folder with its ID is from an
 * earlier process, because this process has not added files yet.
 */
export function isAlive(pid: number): boolean {
  if (pid === process.pid) return false;
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    return !isErrno(error, "ESRCH");
  }
}
