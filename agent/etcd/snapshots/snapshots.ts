import { KhwError } from "../../../proto/errors.ts";
import { type EtcdMember, Snapshot, SnapshotOrigin } from "../../../proto/gen/khw/agent/v1/etcd.ts";
import { parseSha256, refuse } from "../../../proto/validate.ts";
import type { Os } from "../../os/os.ts";
import { etcdctlIdentity, localServer } from "../member.ts";
import { type Proof, verifySnapshot, refuseWithoutRoom, verificationFailed } from "./verify.ts";
import { parseSnapshotId, snapshotId } from "./record.ts";
import type { SnapshotStore } from "./store.ts";

/** The verified snapshots on a machine. Long operations run one at a time. */
export interface Snapshots {
  /** Oldest first. */
  list(): Promise<Snapshot[]>;
  /** @throws KhwError INVALID_ARGUMENT if no verified snapshot has that name */
  find(id: string): Promise<Snapshot>;
  /** Returns, from the cache, the newest snapshot that this machine itself took. Only the metrics use this value. */
  newest(): Snapshot | undefined;
  /**
   * Takes a snapshot of the machine's member.
   * @param purpose see Snapshot.purpose
   * @throws KhwError POSTCONDITION_FAILED if the snapshot cannot be verified; the snapshot's file is then removed
   */
  save(origin: SnapshotOrigin, signal: AbortSignal, purpose?: string): Promise<Snapshot>;
  /**
   * Verifies a snapshot again.
   * @throws KhwError DIGEST_MISMATCH or POSTCONDITION_FAILED; the snapshot then no longer counts as verified
   */
  verify(id: string, signal: AbortSignal): Promise<Snapshot>;
  read(id: string): Promise<AsyncIterable<Buffer>>;
  fileOf(id: string): string;
  /**
   * Receives a snapshot from another machine, and verifies it.
   * @param announced the facts that the sender knows: at least the ID, size and digest
   */
  receive(announced: Snapshot, chunks: AsyncIterable<Uint8Array>, signal: AbortSignal): Promise<Snapshot>;
  /** Keeps the newest `keep` snapshots of each kind, and deletes the others. */
  prune(keep: number): Promise<void>;
  /** Records the URL to which a snapshot was uploaded. */
  noteUpload(id: string, url: string): Promise<void>;
}

export interface SnapshotsOptions {
  readonly os: Pick<Os, "files" | "largeFiles" | "etcdctl" | "clock" | "identity">;
  readonly snapshotStore: SnapshotStore;
  readonly member: (signal: AbortSignal) => Promise<EtcdMember>;
  /** Returns the IDs of the snapshots that an unfinished operation needs. */
  readonly inUse: () => readonly string[];
}

export function createSnapshots({ os, snapshotStore, member, inUse }: SnapshotsOptions): Snapshots {
  const { files, largeFiles, etcdctl, clock, identity } = os;
  let newest: Snapshot | undefined;
  const list = async (): Promise<Snapshot[]> => {
    const all = await snapshotStore.list();
    newest = all.findLast(({ origin }) => origin !== SnapshotOrigin.SNAPSHOT_ORIGIN_COPIED);
    return all;
  };
  let turn: Promise<unknown> = Promise.resolve();
  const inTurn = <T>(work: () => Promise<T>): Promise<T> => {
    const mine = turn.then(work);
    turn = mine.catch(() => undefined);
    return mine;
  };
  const verifyFile = (file: string, id: string, signal: AbortSignal): Promise<Proof> =>
    verifySnapshot(file, snapshotStore.draft(id).scratch, { etcdctl, files, largeFiles, signal });

  const save = async (origin: SnapshotOrigin, purpose: string, signal: AbortSignal): Promise<Snapshot> => {
    const takenUnixMillis = clock.now();
    const id = snapshotId(takenUnixMillis, identity.name);
    const { dbSize, revision, clusterId, version } = await member(signal);
    const { file } = snapshotStore.draft(id);
    await refuseWithoutRoom(file, dbSize, files);
    await snapshotStore.prepare();
    try {
      await etcdctl.save(file, { server: localServer, ...(await etcdctlIdentity(files)), signal });
      const proof = await verifyFile(file, id, signal);
      if (proof.revision < revision)
        throw verificationFailed(`it ends at revision ${proof.revision}, which is older than revision ${revision}`);
      const facts = { id, origin, purpose, takenUnixMillis, provedUnixMillis: clock.now(), node: identity.name };
      const snapshot = Snapshot.fromPartial({ ...facts, ...proof, clusterId, etcdVersion: version });
      await snapshotStore.adopt(snapshot);
      newest = snapshot;
      return snapshot;
    } finally {
      await snapshotStore.discard(id);
    }
  };

  const verify = async (id: string, signal: AbortSignal): Promise<Snapshot> => {
    const known = await snapshotStore.find(id);
    const file = snapshotStore.fileOf(id);
    let proof: Proof;
    try {
      const sha256 = await files.sha256(file);
      if (sha256 !== known.sha256) throw changed(id, "its SHA-256 has changed since it was verified");
      proof = await verifyFile(file, id, signal);
    } catch (error) {
      const bad =
        error instanceof KhwError && (error.code === "DIGEST_MISMATCH" || error.code === "POSTCONDITION_FAILED");
      if (bad) await snapshotStore.invalidate(id);
      throw error;
    }
    // Records the new checksums, because a different version of etcdctl may restore different bytes from the same file.
    const proved = { ...known, ...proof, provedUnixMillis: clock.now() };
    await snapshotStore.update(proved);
    return proved;
  };

  const receive = async (
    announced: Snapshot,
    chunks: AsyncIterable<Uint8Array>,
    signal: AbortSignal,
  ): Promise<Snapshot> => {
    const { id, size, sha256 } = announced;
    const there = (await snapshotStore.list()).find((known) => known.id === id && known.sha256 === sha256);
    if (there !== undefined) return there;
    const { file } = snapshotStore.draft(id);
    await refuseWithoutRoom(file, size, files);
    await snapshotStore.prepare();
    try {
      const received = await largeFiles.write(file, chunks, size);
      if (received !== sha256) throw changed(id, "it was damaged while it was being copied");
      const proof = await verifyFile(file, id, signal);
      const origin = SnapshotOrigin.SNAPSHOT_ORIGIN_COPIED;
      const snapshot = { ...announced, ...proof, origin, provedUnixMillis: clock.now() };
      await snapshotStore.adopt(snapshot);
      return snapshot;
    } finally {
      await snapshotStore.discard(id);
    }
  };

  return {
    list,
    find: (id) => snapshotStore.find(id),
    newest: () => newest,
    save: (origin, signal, purpose = "") => inTurn(() => save(origin, purpose, signal)),
    verify: (id, signal) => inTurn(() => verify(parseSnapshotId(id), signal)),
    fileOf: (id) => snapshotStore.fileOf(id),
    read: async (id) => largeFiles.read(snapshotStore.fileOf((await snapshotStore.find(id)).id)),
    receive: (announced, chunks, signal) => inTurn(() => receive(parseAnnounced(announced), chunks, signal)),
    prune: async (keep) => {
      const kinds = [...Object.values(SnapshotOrigin), "purpose"] as const;
      for (const kind of kinds) await snapshotStore.prune(kind, keep, inUse());
    },
    noteUpload: async (id, uploaded) => snapshotStore.update({ ...(await snapshotStore.find(id)), uploaded }),
  };
}

function parseAnnounced(announced: Snapshot): Snapshot {
  if (announced.size <= 0) refuse("snapshot", "is empty");
  return { ...announced, id: parseSnapshotId(announced.id), sha256: parseSha256("snapshot", announced.sha256) };
}

function changed(id: string, what: string): KhwError {
  return new KhwError("DIGEST_MISMATCH", `snapshot ${id}: ${what}`, {
    hint: "use another snapshot (`khw-client etcd snapshot list`); this snapshot no longer counts as verified",
  });
}
