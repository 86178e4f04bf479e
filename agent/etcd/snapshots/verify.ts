import { KhwError } from "../../../proto/errors.ts";
import type { Bulk, Etcdctl, Files } from "../../os/os.ts";

/** What a proof found. */
export interface Proof {
  readonly size: number;
  readonly sha256: string;
  readonly revision: number;
  readonly keys: number;
  /** etcdctl's checksums of the snapshot, and of what was restored from it. */
  readonly hash: string;
  readonly restoredHash: string;
}

export interface ProveOptions {
  readonly etcdctl: Etcdctl;
  readonly files: Files;
  readonly bulk: Bulk;
  readonly signal: AbortSignal;
}

/**
 * Always the same, so that two proofs of one snapshot, on whatever machine, restore the same bytes: members are a part of a
 * database, and so of its checksum.
 */
const nobody = {
  name: "khw-proof",
  peerUrl: "https://127.0.0.1:2380",
  initialCluster: "khw-proof=https://127.0.0.1:2380",
  token: "khw-proof",
} as const;

/** A write-ahead log is made at its full length at once. */
const walBytes = 64 * 1024 * 1024;

/**
 * Restores the snapshot into the scratch folder (which is removed), and compares. The digest that etcd put at a snapshot's end
 * is checked by the restore itself. @throws KhwError POSTCONDITION_FAILED when what comes out is not what went in.
 */
export async function proveSnapshot(file: string, scratch: string, options: ProveOptions): Promise<Proof> {
  const { etcdctl, files, bulk, signal } = options;
  const size = (await files.stat(file))?.size ?? 0;
  await refuseWithoutRoom(scratch, size + walBytes, files);
  await bulk.removeTree(scratch);
  try {
    const sha256 = (await files.sha256(file)) ?? "";
    // First, since it checks the digest: a cut file makes etcdctl's `snapshot status` end in a crash.
    await etcdctl.restore(file, scratch, { ...nobody, signal });
    const [taken, restored] = [
      await etcdctl.inspect(file, signal),
      await etcdctl.inspect(`${scratch}/member/snap/db`, signal),
    ];
    if (taken.revision !== restored.revision || taken.keys !== restored.keys) {
      const counts = `${restored.keys} keys at revision ${restored.revision}`;
      throw unproven(`restored it has ${counts}, not ${taken.keys} at ${taken.revision}`);
    }
    return { ...taken, size, sha256, restoredHash: restored.hash };
  } finally {
    await bulk.removeTree(scratch);
  }
}

export function unproven(why: string): KhwError {
  return new KhwError("POSTCONDITION_FAILED", `the snapshot cannot be proved: ${why}`, {
    hint: "it is not kept; take another, and see `khw-client etcd status`",
  });
}

export async function refuseWithoutRoom(folder: string, bytes: number, files: Files): Promise<void> {
  const available = await files.available(folder);
  if (available >= bytes) return;
  const [needed, free] = [bytes, available].map((count) => Math.ceil(count / 1_000_000));
  throw new KhwError("IO_FAILED", `${folder}: ${free} MB are free, and a snapshot and its proof need ${needed} MB`, {
    hint: "free space on the file system that holds it, or keep fewer snapshots (etcd.snapshots.keep)",
  });
}
