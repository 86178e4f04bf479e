import type { Restore } from "./gen/khw/agent/v1/etcd.ts";

/** Returns the command that continues an unfinished restore. */
export function continuingCommand({
  kubernetesVersion,
  snapshotTakenUnixMillis = 0,
}: Pick<Restore, "kubernetesVersion" | "snapshotTakenUnixMillis">): string {
  if (kubernetesVersion === undefined) return "khw-client etcd restore --yes";
  return `${loseSinceCommand(snapshotTakenUnixMillis)} --yes`;
}

/**
 * Returns the command that restores the snapshot that was taken at the given time, together with the release that was
 * running then.
 */
export function loseSinceCommand(takenUnixMillis: number): string {
  return `khw-client upgrade --back --lose-since ${exactTime(takenUnixMillis)}`;
}

/** Formats a time exactly, in UTC (RFC 3339). */
export function exactTime(unixMillis: number): string {
  return new Date(unixMillis).toISOString();
}
