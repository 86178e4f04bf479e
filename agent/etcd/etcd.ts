import { toKhwError } from "../../proto/errors.ts";
import { HistoryKind } from "../../proto/gen/khw/agent/v1/agent.ts";
import {
  type AdvanceRestoreRequest,
  type DefragmentResponse,
  type EtcdMember,
  type GetEtcdStatusResponse,
  type Restore,
  RestorePhase,
  type Snapshot,
  SnapshotOrigin,
} from "../../proto/gen/khw/agent/v1/etcd.ts";
import { reportDamage } from "../state/damage.ts";
import type { History } from "../history/history.ts";
import type { Files } from "../os/files.ts";
import type { Os } from "../os/os.ts";
import { inputsDropIn } from "../paths.ts";
import type { Storage } from "../os/storage.ts";
import type { KeptState } from "../state/desired-state.ts";
import type { MachineLock } from "../state/machine-lock.ts";
import { missingDisk } from "./disk.ts";
import { defragment, readMember } from "./member.ts";
import { readMemberRecord, toWireRecord, writeMemberRecord } from "./record.ts";
import { openRestoreRecord } from "./restore/record.ts";
import { openRestoredRelease, type RestoredReleaseOptions } from "./restore/release.ts";
import { createRestorer } from "./restore/restore.ts";
import { objectName } from "./snapshots/record.ts";
import { type Schedule, createSchedule } from "./snapshots/schedule.ts";
import { openSnapshotStore } from "./snapshots/store.ts";
import { createSnapshots, type Snapshots } from "./snapshots/snapshots.ts";

/** Everything that the agent does for the etcd member on this machine, except supervision. */
export interface Etcd {
  readonly snapshots: Snapshots;
  readonly schedule: Schedule;
  /**
   * Takes a snapshot on request.
   * @param purpose see Snapshot.purpose
   * @throws KhwError POSTCONDITION_FAILED if the snapshot cannot be verified; no file is kept
   */
  saveSnapshot(holder: string, purpose: string): Promise<Snapshot>;
  /** Returns the member's status. If the member does not answer, returns the reason instead of throwing. */
  status(signal: AbortSignal): Promise<GetEtcdStatusResponse>;
  advanceRestore(request: AdvanceRestoreRequest, holder: string): Promise<Restore>;
  /** Returns the restore that has begun on this machine but has not finished; undefined if there is no such restore. */
  unfinishedRestore(): Restore | undefined;
  /** @throws KhwError BUSY while another operation is running on the machine */
  defragment(holder: string): Promise<DefragmentResponse>;
}

export interface EtcdOptions extends Pick<RestoredReleaseOptions, "steps" | "installSteps"> {
  readonly os: Os;
  readonly machineLock: MachineLock;
  readonly history: History;
  /** The agent's own state folder. */
  readonly folder: string;
  readonly keptState: KeptState;
  readonly storage: Pick<Storage, "upload">;
  readonly log: (line: string) => void;
  readonly signal: AbortSignal;
}

/** How often the schedule checks whether a snapshot is due. */
const beatMillis = 10_000;

/**
 * Starts the agent's tasks for etcd. If an earlier agent process left a restore unfinished, that restore takes the
 * machine lock.
 */
export async function openEtcd(options: EtcdOptions): Promise<Etcd> {
  const { os, machineLock, history, folder, keptState, storage, log, signal } = options;
  const { files, largeFiles, clock, identity } = os;
  const record = await openRestoreRecord(files, folder);
  const report = (damage: string): void => reportDamage(damage, { history, log });
  const snapshotStore = await openSnapshotStore({ files, largeFiles, folder: `${folder}/snapshots`, report });
  const member = (asked: AbortSignal): Promise<EtcdMember> => readMember(os.etcd, asked);
  const inUse = (): readonly string[] => [record.unfinished()?.snapshotId].flatMap((id) => id ?? []);
  const snapshots = createSnapshots({ os, snapshotStore, member, inUse });
  const entry = { kind: HistoryKind.HISTORY_KIND_ETCD, subject: "etcd" };
  const restorer = await createRestorer({
    os,
    record,
    machineLock,
    snapshots,
    release: await openRestoredRelease(options),
    member,
    missingDisk: async () => ((await wantsDisk(keptState, files)) ? missingDisk(files) : null),
    joined: async ({ clusterId, memberId }, { peers: members }) => {
      // If khw does not manage etcd, there is no member record, and the operator is responsible for the member.
      if (keptState.current()?.desired.etcd === undefined && (await readMemberRecord(files)) === undefined) return;
      const ids = { clusterId: decimalId(clusterId), memberId: decimalId(memberId) };
      await writeMemberRecord(files, { stage: "member", members, ...ids });
    },
    told: (restore) => history.append({ ...entry, message: describeUnfinished(restore) }),
    signal,
  });
  const schedule = createSchedule({
    clock,
    snapshots,
    policy: () => keptState.current()?.desired.etcd?.snapshots,
    place: () => {
      const { controllers = [] } = keptState.current()?.desired.cluster ?? {};
      return { index: controllers.findIndex(({ name }) => name === identity.name), count: controllers.length };
    },
    paused: () => restorer.inProgress(),
    upload: async (snapshot, bucket) => {
      const name = objectName(keptState.current()?.desired.cluster.name ?? "kubernetes", snapshot);
      await storage.upload({ bucket, name, file: snapshotStore.fileOf(snapshot.id), size: snapshot.size, signal });
      return `gs://${bucket}/${name}`;
    },
    told: (message, cause = "") => {
      history.append({ ...entry, message, cause, problem: cause !== "" });
      if (cause !== "") log(`etcd: ${message}: ${cause}`);
    },
    signal,
  });
  // Fills the cache, because the metrics read only the cached snapshot.
  await snapshots.list();
  const timer = setInterval(() => void schedule.beat(), beatMillis).unref();
  signal.addEventListener("abort", () => clearInterval(timer), { once: true });
  const damage = record.damage();
  if (damage !== undefined) report(damage);
  if (record.current() === undefined && restorer.inProgress()) {
    const lost = "a restore of etcd is in progress on this machine, but its record is lost: no services are started";
    report(`${lost}; run the command that started the restore again`);
  }
  return {
    snapshots,
    schedule,
    saveSnapshot: async (holder, purpose) => {
      const { id } = await snapshots.save(SnapshotOrigin.SNAPSHOT_ORIGIN_REQUESTED, signal, purpose);
      const why = purpose === "" ? "" : ` (${purpose})`;
      history.append({ ...entry, message: `snapshot ${id} was taken and verified for ${holder}${why}` });
      await schedule.taken();
      return snapshots.find(id);
    },
    status: async (asked) => {
      const restore = record.current();
      const found = await readMemberRecord(files).catch(() => undefined);
      const known = { restore, record: found === undefined ? undefined : toWireRecord(found) };
      try {
        return { member: await member(asked), reason: "", ...known };
      } catch (error) {
        return { member: undefined, reason: toKhwError(error).message, ...known };
      }
    },
    advanceRestore: (request, holder) => restorer.advance(request, holder),
    unfinishedRestore: () => record.unfinished(),
    defragment: (holder) =>
      machineLock.lock(holder, async () => {
        const done = await defragment(os, signal);
        const message = `defragmented by ${holder}, from ${done.sizeBefore} to ${done.sizeAfter} bytes`;
        history.append({ ...entry, message });
        return done;
      }),
  };
}

/**
 * Whether etcd needs a dedicated disk. If the desired state cannot be read, checks whether the unit requires a mount
 * point.
 */
async function wantsDisk(keptState: KeptState, files: Pick<Files, "read">): Promise<boolean> {
  if (keptState.damage() === undefined) return keptState.current()?.desired.etcd?.dedicatedDisk === true;
  return (await files.read(inputsDropIn("etcd.service")))?.includes("AssertPathIsMountPoint=") === true;
}

function decimalId(hex: string): string {
  return BigInt(`0x${hex}`).toString();
}

const phaseWords: Readonly<Record<number, string>> = {
  [RestorePhase.RESTORE_PHASE_UNSPECIFIED]: "has begun",
  [RestorePhase.RESTORE_PHASE_HELD]: "holds the machine",
  [RestorePhase.RESTORE_PHASE_ABANDONED]: "was abandoned, with nothing changed",
  [RestorePhase.RESTORE_PHASE_KUBERNETES_STOPPED]: "has stopped Kubernetes",
  [RestorePhase.RESTORE_PHASE_ETCD_STOPPED]: "has stopped etcd",
  [RestorePhase.RESTORE_PHASE_RESTORED]: "has replaced its data",
  [RestorePhase.RESTORE_PHASE_ETCD_STARTED]: "has started etcd",
  [RestorePhase.RESTORE_PHASE_FINISHED]: "has finished",
};

function describeUnfinished({ snapshotId, holder, phase, keptAside, kubernetesVersion }: Restore): string {
  const aside = phase === RestorePhase.RESTORE_PHASE_RESTORED && keptAside !== "" ? `; old data: ${keptAside}` : "";
  const release = kubernetesVersion === undefined ? "" : ` with Kubernetes ${kubernetesVersion}`;
  return `the restore of ${snapshotId}${release} by ${holder} ${phaseWords[phase]}${aside}`;
}
