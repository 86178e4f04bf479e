/**
 * Keeps a record of each testbed on this host. With the record, any process can take the testbed down, even after the
 * process that started it has ended.
 */
import { mkdir, mkdtemp, readdir, readFile, rename, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";

import { destroyGroup } from "./cgroup.ts";
import { removeDisk } from "./disk.ts";
import { isErrno } from "../../proto/errno.ts";
import { diskFolder, groupOf, stateFolder, stateRoot } from "./layout.ts";
import type { Place } from "./layout.ts";
import { removeNetwork } from "./network.ts";

/** The record of a testbed. It is written before any resource is created. All resource names derive from the id. */
export interface TestbedRecord {
  readonly id: string;
  /** Whether the testbed outlives its owner. */
  readonly keep: boolean;
  /** The process that started the testbed. The start time distinguishes it from a later process with the same id. */
  readonly owner: { readonly pid: number; readonly startTime: string };
  /** The host's boot id when the testbed was started. After the host's next boot, only the testbed's disks are left. */
  readonly bootId: string;
  /** All machines: the controllers and the workers. */
  readonly nodes: readonly Place[];
  /** The folder with the Kubernetes releases that the testbed's mirror serves. */
  readonly kubernetes: string;
  /** The folder with the etcd releases that the testbed's mirror serves. */
  readonly etcd: string;
  /** Whether the machines had an etcd cluster from the start. */
  readonly withEtcd: boolean;
}

/** The time limit for all processes of a testbed to end. */
const stopTimeoutMs = 30_000;

/** Writes a testbed's record to a new state folder. Throws if a testbed with the same id exists. */
export async function register(testbed: Omit<TestbedRecord, "owner" | "bootId">): Promise<void> {
  const owner = { pid: process.pid, startTime: (await startTime(process.pid)) ?? "" };
  const record: TestbedRecord = { ...testbed, owner, bootId: await bootId() };
  await mkdir(stateRoot, { recursive: true, mode: 0o700 });
  // The folder gets its final name only when it contains the record, so a sweep never finds a folder without a record.
  const fresh = await mkdtemp(join(stateRoot, ".new-"));
  await writeFile(join(fresh, "record.json"), `${JSON.stringify(record, null, 2)}\n`);
  try {
    await rename(fresh, stateFolder(testbed.id));
  } catch (cause) {
    await rm(fresh, { recursive: true });
    throw new Error(`the testbed ${testbed.id} already exists`, { cause });
  }
}

/** Returns the record of a testbed, or undefined if no testbed has that id. */
export async function recordOf(id: string): Promise<TestbedRecord | undefined> {
  try {
    const record: TestbedRecord = JSON.parse(await readFile(join(stateFolder(id), "record.json"), "utf8"));
    return record;
  } catch (error) {
    if (isErrno(error, "ENOENT")) return undefined;
    throw error;
  }
}

/**
 * Ends a testbed's processes and removes all its resources. The record is removed last, so that a failed removal can be
 * retried.
 */
export async function destroy({ id, nodes }: Pick<TestbedRecord, "id" | "nodes">): Promise<void> {
  await destroyGroup(groupOf(id), AbortSignal.timeout(stopTimeoutMs));
  await Promise.all([removeNetwork(id, nodes), ...nodes.map((place) => removeDisk(id, place))]);
  await rm(diskFolder(id), { recursive: true, force: true });
  await rm(stateFolder(id), { recursive: true, force: true });
}

/**
 * Destroys every testbed that has no owner. A testbed has no owner if the owner's process has exited and `keep` is
 * false, or if the host has rebooted.
 */
export async function sweep(): Promise<void> {
  await mkdir(stateRoot, { recursive: true, mode: 0o700 });
  for (const id of await readdir(stateRoot)) {
    const record = await recordOf(id);
    if (record && (await isLeftOver(record))) await destroy(record);
  }
}

async function isLeftOver({ keep, owner, bootId: born }: TestbedRecord): Promise<boolean> {
  if (born !== (await bootId())) return true;
  return !keep && (await startTime(owner.pid)) !== owner.startTime;
}

/**
 * Returns the start time of a process in clock ticks since boot (see `proc(5)`), or undefined if the process does not
 * exist.
 */
async function startTime(pid: number): Promise<string | undefined> {
  try {
    const stat = await readFile(`/proc/${pid}/stat`, "utf8");
    // The name in parentheses can contain any character. The fields after the name contain no spaces. starttime is
    // field 22 of the line.
    return stat.slice(stat.lastIndexOf(")") + 2).split(" ")[19];
  } catch (error) {
    if (isErrno(error, "ENOENT")) return undefined;
    throw error;
  }
}

async function bootId(): Promise<string> {
  return (await readFile("/proc/sys/kernel/random/boot_id", "utf8")).trim();
}
