import { link, mkdtemp, readdir, rm, stat } from "node:fs/promises";
import { join } from "node:path";

const prefix = /^\.new-(\d+)-/;

/** A new folder within the folder, in which this process gets files ready to be linked to their places. */
export async function makeStaging(folder: string): Promise<string> {
  return mkdtemp(join(folder, `.new-${process.pid}-`));
}

/**
 * Brings to its end what a process that was killed had begun to add to the folder; what it had not begun to add is gone. Every
 * file was whole before the first was linked, so that they all are there then. A process that lives is left alone.
 */
export async function finishInterrupted(folder: string): Promise<void> {
  for (const name of await namesIn(folder)) {
    const pid = prefix.exec(name)?.[1];
    if (pid === undefined || isAlive(Number(pid))) continue;
    const staging = join(folder, name);
    const files = await readdir(staging);
    const begun = await Promise.all(files.map((file) => isSame(join(staging, file), join(folder, file))));
    if (begun.includes(true)) for (const file of files) await linkNew(join(staging, file), join(folder, file));
    await rm(staging, { recursive: true, force: true });
  }
}

async function linkNew(from: string, to: string): Promise<void> {
  try {
    await link(from, to);
  } catch (error) {
    if (!hasCode(error, "EEXIST")) throw error;
  }
}

async function namesIn(folder: string): Promise<string[]> {
  try {
    return await readdir(folder);
  } catch (error) {
    if (hasCode(error, "ENOENT") || hasCode(error, "ENOTDIR")) return [];
    throw error;
  }
}

async function isSame(one: string, other: string): Promise<boolean> {
  try {
    const [a, b] = await Promise.all([stat(one, { bigint: true }), stat(other, { bigint: true })]);
    return a.ino === b.ino && a.dev === b.dev;
  } catch (error) {
    if (hasCode(error, "ENOENT")) return false;
    throw error;
  }
}

/** This very process adds nothing at the time: its number then is that of one that is gone. */
function isAlive(pid: number): boolean {
  if (pid === process.pid) return false;
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    return !hasCode(error, "ESRCH");
  }
}

function hasCode(error: unknown, code: string): boolean {
  return error instanceof Error && "code" in error && error.code === code;
}
