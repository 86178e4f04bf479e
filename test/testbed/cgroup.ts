/**
 * Control groups: what owns the testbed's processes.
 *
 * Every process of a testbed, on the host's side and in its machines, lives below one control group, so ending the
 * testbed is ending that group: no list of process ids can go stale. Each machine has a group of its own in *every*
 * hierarchy, because two systemds in one group take each other's processes.
 */
import { watch } from "node:fs";
import { mkdir, readdir, readFile, rmdir, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";

import { hasCode } from "./errors.ts";

/** The mounted hierarchies: all of them (version 1 ones and the unified one), and the unified one by itself. */
interface Hierarchies {
  readonly all: readonly string[];
  readonly unified: string;
}

/** Reads the mount points of the control group hierarchies; throws where no unified hierarchy is mounted. */
async function hierarchies(): Promise<Hierarchies> {
  const mounts = (await readFile("/proc/self/mountinfo", "utf8")).trim().split("\n");
  const found = mounts.flatMap((line) => {
    const [mount, kind] = [line.split(" ")[4], line.split(" - ")[1]?.split(" ")[0]];
    return mount !== undefined && (kind === "cgroup" || kind === "cgroup2") ? [{ mount, kind }] : [];
  });
  const unified = found.find(({ kind }) => kind === "cgroup2")?.mount;
  if (unified === undefined) throw new Error("no cgroup2 hierarchy is mounted on this machine (see cgroups(7))");
  return { all: found.map(({ mount }) => mount), unified };
}

/** Makes the group in every hierarchy (there already: fine) and gives the files that take a process into it. */
export async function makeGroup(group: string): Promise<readonly string[]> {
  const { all } = await hierarchies();
  for (const mount of all) {
    let folder = mount;
    for (const part of group.split("/")) {
      const parent = folder;
      folder = join(folder, part);
      await mkdir(folder, { recursive: true });
      // A fresh cpuset of version 1 has no processors and no memory, and takes no process until it has.
      for (const file of ["cpuset.cpus", "cpuset.mems"]) await inherit(join(parent, file), join(folder, file));
    }
  }
  return all.map((mount) => join(mount, group, "cgroup.procs"));
}

/** The command line that runs `argv` in the groups whose files {@link makeGroup} gave. */
export function inGroup(processFiles: readonly string[], argv: readonly string[]): readonly string[] {
  const enter = 'until [ "$1" = -- ]; do echo $$ >"$1"; shift; done; shift; exec "$@"';
  return ["/bin/sh", "-ec", enter, "sh", ...processFiles, "--", ...argv];
}

/** Ends every process of the group and of those below it, waits until none is left, and removes the group. */
export async function destroyGroup(group: string, signal: AbortSignal): Promise<void> {
  const { all, unified } = await hierarchies();
  const folder = join(unified, group);
  await unlessGone(async () => {
    await writeFile(join(folder, "cgroup.kill"), "1");
    await emptied(folder, signal);
  });
  for (const mount of all) await removeTree(join(mount, group), signal);
}

/** Waits until the group at this folder of the unified hierarchy has no process. */
async function emptied(folder: string, signal: AbortSignal): Promise<void> {
  const file = join(folder, "cgroup.events");
  const isEmpty = async (): Promise<boolean> => (await readFile(file, "utf8")).includes("populated 0");
  // The kernel reports a change of this file as a modification, so nothing is polled.
  const watcher = watch(file);
  try {
    await new Promise<void>((resolve, reject) => {
      const look = (): void => void isEmpty().then((empty) => empty && resolve(), reject);
      watcher.on("change", look).on("error", reject);
      signal.addEventListener("abort", () => reject(new Error(`${folder}: still has processes`)), { once: true });
      look();
    });
  } finally {
    watcher.close();
  }
}

async function removeTree(folder: string, signal: AbortSignal): Promise<void> {
  const entries = (await unlessGone(() => readdir(folder, { withFileTypes: true }))) ?? [];
  for (const entry of entries) if (entry.isDirectory()) await removeTree(join(folder, entry.name), signal);
  for (;;) {
    try {
      await unlessGone(() => rmdir(folder));
      return;
    } catch (error) {
      // A version 1 hierarchy tells nobody when the last process has left its books, a moment after its end.
      if (!hasCode(error, "EBUSY") || signal.aborted) throw error;
      await sleep(5);
    }
  }
}

async function inherit(from: string, to: string): Promise<void> {
  await unlessGone(async () => {
    if ((await readFile(to, "utf8")).trim() === "") await writeFile(to, await readFile(from, "utf8"));
  });
}

/** The task's result, or undefined when a file that it needs is not there. */
async function unlessGone<T>(task: () => Promise<T>): Promise<T | undefined> {
  try {
    return await task();
  } catch (error) {
    if (hasCode(error, "ENOENT", "ENODEV")) return undefined;
    throw error;
  }
}
