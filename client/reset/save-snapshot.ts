import { createHash } from "node:crypto";
import { open, rename, rm } from "node:fs/promises";
import { resolve } from "node:path";
import { KhwError, toKhwError } from "../../proto/errors.ts";
import type { Snapshot } from "../../proto/gen/khw/agent/v1/etcd.ts";
import type { Member } from "../cluster/open.ts";
import { memberOf, readEtcd } from "../etcd/overview.ts";
import { nodeSource, type Source } from "../etcd/distribute.ts";
import { nodeSnapshots, readSnapshots } from "../etcd/snapshots.ts";
import { takeSnapshot } from "../etcd/take-snapshot.ts";

/** A snapshot that was copied to this workstation. */
export interface SavedSnapshot {
  readonly snapshot: Snapshot;
  readonly path: string;
}

export interface SaveSnapshotOptions {
  /** The folder on this workstation. */
  readonly folder: string;
  readonly signal: AbortSignal;
}

/**
 * Saves a verified snapshot of etcd in a folder on this workstation. If an earlier run has already stopped etcd, saves
 * the newest verified snapshot that a node still has. Returns undefined if no node has ever had an etcd member.
 * @throws KhwError NOT_READY if there is no snapshot to save
 */
export async function saveSnapshot(
  members: readonly Member[],
  { folder, signal }: SaveSnapshotOptions,
): Promise<SavedSnapshot | undefined> {
  if (members.every(({ info }) => info !== undefined && info.etcdBegun !== true)) return undefined;
  const source = await chooseSource(members, signal);
  const path = resolve(folder, `khw-snapshot-${source.snapshot.id}.db`);
  await download(source, path, signal);
  return { snapshot: source.snapshot, path };
}

async function chooseSource(members: readonly Member[], signal: AbortSignal): Promise<Source> {
  const nodes = await readEtcd(members, signal);
  if (nodes.some((node) => (memberOf(node)?.leaderId ?? "") !== "")) {
    const { snapshot, node } = await takeSnapshot(members, { signal, purpose: "before a reset" });
    return nodeSource({ snapshot, nodes: [node] }, members);
  }
  const taken = nodeSnapshots(await readSnapshots(members, signal)).filter(({ snapshot }) => snapshot.node !== "");
  const newest = taken.at(-1);
  if (newest !== undefined) return nodeSource(newest, members);
  throw new KhwError("NOT_READY", "etcd does not answer, and no node has a verified snapshot", {
    hint: "start etcd (see `khw-client etcd status`); if the data is not needed, or an earlier run has already saved it, add --without-snapshot",
  });
}

/**
 * Copies the snapshot. Leaves no incomplete copy if an error occurs. Only the user can read the file, because it
 * contains the cluster's Secrets.
 */
async function download({ snapshot, read }: Source, path: string, signal: AbortSignal): Promise<void> {
  const temporary = `${path}.part`;
  try {
    const sum = createHash("sha256");
    await rm(temporary, { force: true });
    const file = await open(temporary, "wx", 0o600);
    try {
      for await (const chunk of read(signal)) {
        sum.update(chunk);
        await file.write(chunk);
      }
      await file.sync();
    } finally {
      await file.close();
    }
    const digest = sum.digest("hex");
    if (digest !== snapshot.sha256)
      throw new KhwError("DIGEST_MISMATCH", `the copied snapshot's SHA-256 is ${digest}, not ${snapshot.sha256}`);
    await rename(temporary, path);
  } catch (thrown) {
    await rm(temporary, { force: true });
    if (thrown instanceof KhwError) throw thrown;
    throw new KhwError("IO_FAILED", `${path} cannot be written: ${toKhwError(thrown).message}`, { cause: thrown });
  }
}
