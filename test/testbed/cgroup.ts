/**
 * Keeps all processes of a testbed, both on the host and in its machines, below one control group. Killing that group's
 * processes ends the testbed, so the testbed keeps no list of process ids that could become stale. Each machine has its
 * own group in *every* hierarchy. Otherwise two systemd instances in one group would take over each other's processes.
 */
import { watch } from "node:fs";
import { mkdir, readdir, readFile, rmdir, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";

import { isErrno } from "../../proto/errno.ts";

/** The mount points of all control group hierarchies (version 1 and unified), and of the unified hierarchy. */
interface Hierarchies {
  readonly all: readonly string[];
  readonly unified: string;
}

/** Returns the mount points of the control group hierarchies. Throws if no unified hierarchy is mounted. */
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

/**
 * Creates the group in every hierarchy, unless it already exists. Returns the files that move a process into the group.
 */
export async function makeGroup(group: string): Promise<readonly string[]> {
  const { all } = await hierarchies();
  for (const mount of all) {
    let folder = mount;
    for (const part of group.split("/")) {
      const parent = folder;
      folder = join(folder, part);
      await mkdir(folder, { recursive: true });
      // A new version 1 cpuset has no processors and no memory. It accepts no processes until both are set.
      for (const file of ["cpuset.cpus", "cpuset.mems"]) await inherit(join(parent, file), join(folder, file));
    }
  }
  return all.map((mount) => join(mount, group, "cgroup.procs"));
}

/**
 * Returns the command line that runs `argv` in the group. `processFiles` are the files that {@link makeGroup} returned.
 */
export function inGroup(processFiles: readonly string[], argv: readonly string[]): readonly string[] {
  const enter = 'until [ "$1" = -- ]; do echo $$ >"$1"; shift; done; shift; exec "$@"';
  return ["/bin/sh", "-ec", enter, "sh", ...processFiles, "--", ...argv];
}

/**
 * Kills every process in the group and in the groups below it. Waits until all of them are gone, then removes the
 * groups.
 */
export async function destroyGroup(group: string, signal: AbortSignal): Promise<void> {
  const { all, unified } = await hierarchies();
  const folder = join(unified, group);
  await unlessGone(async () => {
    await writeFile(join(folder, "cgroup.kill"), "1");
    await emptied(folder, signal);
  });
  for (const mount of all) await removeTree(join(mount, group), signal);
}

/** Waits until the group has no processes. `folder` is the group's folder in the unified hierarchy. */
async function emptied(folder: string, signal: AbortSignal): Promise<void> {
  const file = join(folder, "cgroup.events");
  const isEmpty = async (): Promise<boolean> => (await readFile(file, "utf8")).includes("populated 0");
  // The kernel reports a change to this file as a modification, so no polling is needed.
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
      // For a moment after its last process has ended, a version 1 hierarchy still counts this process. It sends no
      // event.
      if (!isErrno(error, "EBUSY") || signal.aborted) throw error;
      await sleep(5);
    }
  }
}

async function inherit(from: string, to: string): Promise<void> {
  await unlessGone(async () => {
    if ((await readFile(to, "utf8")).trim() === "") await writeFile(to, await readFile(from, "utf8"));
  });
}

/** Returns the task's result, or undefined if a file that the task needs is missing. */
async function unlessGone<T>(task: () => Promise<T>): Promise<T | undefined> {
  try {
    return await task();
  } catch (error) {
    if (isErrno(error, "ENOENT", "ENODEV")) return undefined;
    throw error;
  }
}
