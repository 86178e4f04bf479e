import type { EtcdMember, Snapshot } from "../../proto/gen/khw/agent/v1/etcd.ts";
import { SnapshotOrigin } from "../../proto/gen/khw/agent/v1/etcd.ts";
import { truncate } from "../terminal/cut.ts";
import { textTable } from "../terminal/table.ts";
import { instant } from "../terminal/time.ts";
import { memberOf, type NodeEtcd } from "./overview.ts";
import type { NodeSnapshot } from "./snapshots.ts";

const memberHead = ["NODE", "MEMBER", "ROLE", "TERM", "INDEX", "APPLIED", "REVISION", "DB SIZE", "IN USE", "VERSION"];

/** Returns a table with a row for each node. */
export function memberTable(nodes: readonly NodeEtcd[]): Promise<string> {
  return textTable(
    memberHead,
    nodes.map((node) => {
      const member = memberOf(node);
      if (member === undefined) return [node.node, "does not answer"];
      const { memberId, raftTerm, raftIndex, appliedIndex, revision, dbSize, dbSizeInUse, version } = member;
      const counts = [raftTerm, raftIndex, appliedIndex, revision].map(String);
      const sizes = [dbSize, dbSizeInUse].map(megabytes);
      return [node.node, memberId, roleOf(member), ...counts, ...sizes, version];
    }),
  );
}

export function roleOf({ memberId, leaderId, learner }: EtcdMember): string {
  if (learner) return "learner";
  if (leaderId === "") return "no leader";
  return leaderId === memberId ? "leader" : "follower";
}

const snapshotHead = ["SNAPSHOT", "TAKEN", "SIZE", "REVISION", "KEYS", "ORIGIN", "ON", "UPLOADED TO"];

/** Returns the table of snapshots, newest last. */
export function snapshotTable(held: readonly NodeSnapshot[]): Promise<string> {
  return textTable(
    snapshotHead,
    held.map(({ snapshot, nodes }) => [
      snapshot.id,
      instant(snapshot.takenUnixMillis),
      megabytes(snapshot.size),
      String(snapshot.revision),
      String(snapshot.keys),
      originName(snapshot),
      nodes.join(","),
      snapshot.uploaded === "" ? "-" : truncate(snapshot.uploaded, 80),
    ]),
  );
}

export function originName({ origin, node }: Snapshot): string {
  if (node === "") return "a file";
  return origin === SnapshotOrigin.SNAPSHOT_ORIGIN_SCHEDULED ? `${node}, scheduled` : node;
}

export function megabytes(bytes: number): string {
  return `${(bytes / 1_000_000).toFixed(1)} MB`;
}
