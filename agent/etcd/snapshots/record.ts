import { Snapshot, SnapshotOrigin } from "../../../proto/gen/khw/agent/v1/etcd.ts";
import { refuse, show } from "../../../proto/validate.ts";

const originNames = {
  [SnapshotOrigin.SNAPSHOT_ORIGIN_UNSPECIFIED]: "unknown",
  [SnapshotOrigin.SNAPSHOT_ORIGIN_SCHEDULED]: "scheduled",
  [SnapshotOrigin.SNAPSHOT_ORIGIN_REQUESTED]: "requested",
  [SnapshotOrigin.SNAPSHOT_ORIGIN_COPIED]: "copied",
} as const satisfies Record<number, string>;

/**
 * Encodes the record of a snapshot: a small JSON file next to the snapshot, with the results and the time of the
 * verification.
 */
export function encodeRecord(snapshot: Snapshot): string {
  const { takenUnixMillis, provedUnixMillis, origin, ...rest } = snapshot;
  const record = {
    ...rest,
    origin: wordOf(origin),
    taken: new Date(takenUnixMillis).toISOString(),
    proved: new Date(provedUnixMillis).toISOString(),
  };
  return `${JSON.stringify(record, null, 2)}\n`;
}

/**
 * Decodes a snapshot's record. Returns undefined if the text is not a valid record; the snapshot then does not count as
 * verified.
 */
export function decodeRecord(id: string, text: string): Snapshot | undefined {
  try {
    const { taken, proved, origin, ...rest }: Record<string, unknown> = JSON.parse(text);
    const snapshot = Snapshot.fromPartial({
      ...strings(rest, ["node", "sha256", "hash", "restoredHash", "clusterId", "etcdVersion", "uploaded", "purpose"]),
      ...numbers(rest, ["size", "revision", "keys"]),
      id,
      origin: originOf(origin),
      takenUnixMillis: Date.parse(String(taken)),
      provedUnixMillis: Date.parse(String(proved)),
    });
    const times = [snapshot.takenUnixMillis, snapshot.provedUnixMillis];
    const counts = [snapshot.size, snapshot.revision, snapshot.keys];
    const sound = times.every(isTime) && counts.every(isCount) && snapshot.sha256 !== "";
    return sound ? snapshot : undefined;
  } catch {
    // The parser's error would not help the user, because the text is damaged.
    return undefined;
  }
}

/**
 * Checks that an ID is a plain file name, neither a path nor hidden.
 * @throws KhwError INVALID_ARGUMENT
 */
export function parseSnapshotId(id: string): string {
  return /^[A-Za-z0-9][A-Za-z0-9._-]{0,120}$/.test(id)
    ? id
    : refuse("snapshot", `${show(id)} is not a valid snapshot name`);
}

/** Returns a snapshot's name. Sorting snapshots by name also sorts them by time. */
export function snapshotId(unixMillis: number, node: string): string {
  return `${compactTime(unixMillis)}-${node}`;
}

/**
 * Returns the name of a snapshot's object in a bucket. It includes the cluster's name and ID, because nodes in
 * different clusters can have the same names.
 */
export function objectName(cluster: string, { clusterId, id }: Pick<Snapshot, "clusterId" | "id">): string {
  return `${cluster}/${clusterId}/${id}.db`;
}

/** Formats a time as "20260131T120000Z". */
export function compactTime(unixMillis: number): string {
  return new Date(unixMillis).toISOString().replaceAll(/[-:]|\.\d+/g, "");
}

/** The end of the year 9999. */
const lastTime = 253_402_300_799_999;

function isTime(unixMillis: number): boolean {
  return Number.isSafeInteger(unixMillis) && unixMillis >= 0 && unixMillis <= lastTime;
}

function isCount(value: number): boolean {
  return Number.isSafeInteger(value) && value >= 0;
}

function wordOf(origin: SnapshotOrigin): string {
  return Object.entries(originNames).find(([key]) => Number(key) === origin)?.[1] ?? "unknown";
}

function originOf(word: unknown): SnapshotOrigin {
  const found = Object.values(SnapshotOrigin).find((origin) => wordOf(origin) === word);
  return found ?? SnapshotOrigin.SNAPSHOT_ORIGIN_UNSPECIFIED;
}

function strings(from: Record<string, unknown>, keys: readonly string[]): Record<string, string> {
  return Object.fromEntries(keys.map((key) => [key, typeof from[key] === "string" ? from[key] : ""]));
}

function numbers(from: Record<string, unknown>, keys: readonly string[]): Record<string, number> {
  return Object.fromEntries(keys.map((key) => [key, Number(from[key] ?? 0)]));
}
