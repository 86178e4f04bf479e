import { KhwError } from "../../../proto/errors.ts";
import type { Etcdctl } from "../../os/etcdctl.ts";
import type { Files } from "../../os/files.ts";
import type { LargeFiles } from "../../os/large-files.ts";

/** The results of a verification. */
export interface Proof {
  readonly size: number;
  readonly sha256: string;
  readonly revision: number;
  readonly keys: number;
  /** etcdctl's checksums of the snapshot, and of the database restored from it. */
  readonly hash: string;
  readonly restoredHash: string;
}

export interface ProveOptions {
  readonly etcdctl: Etcdctl;
  readonly files: Files;
  readonly largeFiles: LargeFiles;
  readonly signal: AbortSignal;
}

/**
 * The member for which every verification restores the snapshot. A restored database contains the list of members, so
 * the list affects the checksum. Because the member is always the same, all machines restore the same bytes.
 */
const nobody = {
  name: "khw-proof",
  peerUrl: "https://127.0.0.1:2380",
  initialCluster: "khw-proof=https://127.0.0.1:2380",
  token: "khw-proof",
} as const;

/** The size of a write-ahead log file. etcd allocates the full size when it creates the file. */
export const walBytes = 64 * 1024 * 1024;

/**
 * The largest difference in the number of keys. The number includes the entries for members and removed members. From
 * etcd 3.5 on, a restore replaces these entries by one entry for the new member. etcd never deletes the entries for
 * removed members, so a cluster can have many.
 */
const mostMemberEntries = 1_000;

/**
 * Restores the snapshot into the scratch folder. Compares the revision and the number of keys before and after the
 * restore. Then removes the folder. The restore itself checks the digest at the end of the snapshot.
 * @throws KhwError POSTCONDITION_FAILED if the restored database differs
 */
export async function verifySnapshot(file: string, scratch: string, options: ProveOptions): Promise<Proof> {
  const { etcdctl, files, largeFiles, signal } = options;
  const size = (await files.stat(file))?.size ?? 0;
  await refuseWithoutRoom(scratch, size + walBytes, files);
  await largeFiles.removeTree(scratch);
  try {
    const sha256 = (await files.sha256(file)) ?? "";
    // Restores first, because a restore checks the digest, whereas `etcdctl snapshot status` crashes on a truncated
    // file.
    await etcdctl.restore(file, scratch, { ...nobody, signal });
    const [taken, restored] = [
      await etcdctl.inspect(file, signal),
      await etcdctl.inspect(`${scratch}/member/snap/db`, signal),
    ];
    if (taken.revision !== restored.revision || Math.abs(taken.keys - restored.keys) > mostMemberEntries) {
      const counts = `${restored.keys} keys at revision ${restored.revision}`;
      throw verificationFailed(`the restored database has ${counts}, not ${taken.keys} at ${taken.revision}`);
    }
    return { ...taken, size, sha256, restoredHash: restored.hash };
  } finally {
    await largeFiles.removeTree(scratch);
  }
}

export function verificationFailed(why: string): KhwError {
  return new KhwError("POSTCONDITION_FAILED", `the snapshot cannot be verified: ${why}`, {
    hint: "take another snapshot, and check `khw-client etcd status`; this snapshot was removed",
  });
}

export async function refuseWithoutRoom(folder: string, bytes: number, files: Files): Promise<void> {
  const available = await files.available(folder);
  if (available >= bytes) return;
  const [needed, free] = [bytes, available].map((count) => Math.ceil(count / 1_000_000));
  throw new KhwError(
    "IO_FAILED",
    `${folder}: a snapshot and its verification need ${needed} MB, but only ${free} MB are free`,
    {
      hint: "free up space on the file system that contains this folder, or keep fewer snapshots (etcd.snapshots.keep)",
    },
  );
}
