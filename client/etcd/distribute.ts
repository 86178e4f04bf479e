import { createHash } from "node:crypto";
import { createReadStream } from "node:fs";
import { basename } from "node:path";
import { KhwError, toKhwError } from "../../proto/errors.ts";
import { Snapshot } from "../../proto/gen/khw/agent/v1/etcd.ts";
import type { Member } from "../cluster/open.ts";
import type { NodeSnapshot } from "./snapshots.ts";

/** A snapshot to restore, and the source of its bytes. */
export interface Source {
  readonly snapshot: Snapshot;
  /** The nodes that have the snapshot. */
  readonly nodes: readonly string[];
  readonly read: (signal: AbortSignal) => AsyncIterable<Uint8Array>;
}

/** Returns the source for a snapshot that a node has. */
export function nodeSource({ snapshot, nodes }: NodeSnapshot, members: readonly Member[]): Source {
  const holder = members.find(({ node, error }) => error === undefined && nodes.includes(node.address.name));
  if (holder === undefined) throw new TypeError(`no node has ${snapshot.id}`);
  return { snapshot, nodes, read: (signal) => holder.node.etcd.read(snapshot.id, signal) };
}

/**
 * Returns the source for a file on this workstation.
 * @throws KhwError INVALID_ARGUMENT if the file cannot be read
 */
export async function fileSource(path: string): Promise<Source> {
  const sum = createHash("sha256");
  let size = 0;
  try {
    for await (const chunk of createReadStream(path)) {
      const bytes: Uint8Array = chunk;
      sum.update(bytes);
      size += bytes.length;
    }
  } catch (error) {
    throw new KhwError("INVALID_ARGUMENT", `${path}: ${toKhwError(error).message}`, {
      hint: "check the file's path; to use a snapshot that is on the nodes, specify a name from `khw-client etcd snapshot list`",
      cause: error,
    });
  }
  const sha256 = sum.digest("hex");
  const name = basename(path)
    .replace(/\.db$/, "")
    .replaceAll(/[^A-Za-z0-9._-]/g, "-");
  const id = `file-${name}-${sha256.slice(0, 12)}`;
  const snapshot = Snapshot.fromPartial({ id, size, sha256, takenUnixMillis: Date.now() });
  return { snapshot, nodes: [], read: () => createReadStream(path) };
}

/** Copies the snapshot to the node if needed, and has the node verify the snapshot. */
export async function distributeTo({ node }: Member, source: Source, signal: AbortSignal): Promise<Snapshot> {
  const { snapshot, nodes, read } = source;
  return nodes.includes(node.address.name)
    ? node.etcd.verify(snapshot.id, signal)
    : node.etcd.write(snapshot, read(signal), signal);
}
