import type * as wire from "./gen/khw/agent/v1/agent.ts";
import { refuse, show } from "./validate.ts";

/** The policy of the agent's automatic etcd snapshots. */
export interface SnapshotPolicy {
  /** 0: no snapshots. */
  readonly intervalMillis: number;
  /** The number of snapshots of each kind that the machine keeps. */
  readonly keep: number;
  /** The Cloud Storage bucket to which each snapshot is uploaded; if empty, snapshots are not uploaded. */
  readonly bucket: string;
}

/** @throws KhwError INVALID_ARGUMENT with the name of the field */
export function parseSnapshotPolicy(field: string, policy: wire.SnapshotPolicy): SnapshotPolicy {
  const { intervalSeconds, keep, bucket } = policy;
  if (intervalSeconds !== 0 && intervalSeconds < 10) refuse(`${field}.interval_seconds`, "is less than 10 s");
  if (keep < 1) refuse(`${field}.keep`, "is less than 1");
  return {
    intervalMillis: intervalSeconds * 1000,
    keep,
    bucket: bucket === "" ? "" : parseBucket(`${field}.bucket`, bucket),
  };
}

/** Parses a bucket name, and checks it against the rules of Cloud Storage. */
export function parseBucket(field: string, name: string): string {
  const wellFormed = /^[a-z0-9][a-z0-9._-]{1,220}[a-z0-9]$/.test(name) && !name.includes("..");
  return wellFormed
    ? name
    : refuse(field, `${show(name)} is not a bucket name`, "write only the name, without gs:// and without a path");
}

export function toWireSnapshotPolicy({ intervalMillis, keep, bucket }: SnapshotPolicy): wire.SnapshotPolicy {
  return { intervalSeconds: Math.round(intervalMillis / 1000), keep, bucket };
}
