import { KhwError } from "../../proto/errors.ts";
import { type ListSnapshotsResponse, type Snapshot, SnapshotOrigin } from "../../proto/gen/khw/agent/v1/etcd.ts";
import type { Member } from "../cluster/open.ts";
import { type NodeAnswer, maxConcurrentNodes, forEachNode } from "../cluster/for-each-node.ts";

/** A verified snapshot, and the nodes that have it. */
export interface NodeSnapshot {
  readonly snapshot: Snapshot;
  readonly nodes: readonly string[];
}

export function readSnapshots(
  members: readonly Member[],
  signal: AbortSignal,
): Promise<NodeAnswer<ListSnapshotsResponse>[]> {
  return forEachNode(members, maxConcurrentNodes, (node) => node.etcd.list(signal));
}

/**
 * Returns each snapshot once, oldest first. Snapshots with the same name but different contents count as different
 * snapshots.
 */
export function nodeSnapshots(answers: readonly NodeAnswer<ListSnapshotsResponse>[]): NodeSnapshot[] {
  const held = new Map<string, NodeSnapshot>();
  for (const { name, value } of answers) {
    for (const snapshot of value?.snapshots ?? []) {
      const key = `${snapshot.id} ${snapshot.sha256}`;
      const known = held.get(key);
      const original = known === undefined || isCopy(known.snapshot) ? snapshot : known.snapshot;
      held.set(key, { snapshot: original, nodes: [...(known?.nodes ?? []), name] });
    }
  }
  return [...held.values()].toSorted((a, b) => a.snapshot.takenUnixMillis - b.snapshot.takenUnixMillis);
}

function isCopy({ origin }: Snapshot): boolean {
  return origin === SnapshotOrigin.SNAPSHOT_ORIGIN_COPIED;
}

/**
 * Returns the snapshot with that name. For "latest", returns the newest snapshot that was taken from a member. Files
 * cannot be the latest snapshot, because their age is unknown.
 * @throws KhwError INVALID_ARGUMENT if no snapshot has that name, or if the newest snapshot has a lower revision than
 * an older snapshot of the same cluster. In the latter case, etcd was emptied in between, so the user must specify a
 * snapshot by name
 */
export function chooseSnapshot(held: readonly NodeSnapshot[], name: string): NodeSnapshot {
  const hint = "to see the names, run `khw-client etcd snapshot list`; specify a file as ./FILE";
  if (name !== "latest") {
    const found = held.find(({ snapshot }) => snapshot.id === name);
    if (found !== undefined) return found;
    throw new KhwError("INVALID_ARGUMENT", `no node has a verified snapshot named ${name}`, { hint });
  }
  const taken = held.filter(({ snapshot }) => snapshot.node !== "");
  const newest = taken.at(-1);
  if (newest === undefined) {
    const what =
      held.length === 0
        ? "no node has a verified snapshot"
        : "all verified snapshots come from files; specify one of them by name";
    throw new KhwError("INVALID_ARGUMENT", what, { hint });
  }
  const { clusterId, revision, id } = newest.snapshot;
  const fuller = taken.findLast(({ snapshot }) => snapshot.clusterId === clusterId && snapshot.revision > revision);
  if (fuller === undefined) return newest;
  const [now, before] = [
    `${id} (revision ${revision})`,
    `${fuller.snapshot.id} (revision ${fuller.snapshot.revision})`,
  ];
  throw new KhwError(
    "INVALID_ARGUMENT",
    `the newest snapshot ${now} has a lower revision than the older ${before}, so etcd was emptied in between`,
    {
      hint: `specify a snapshot by name, for example: \`khw-client etcd restore ${fuller.snapshot.id}\``,
    },
  );
}
