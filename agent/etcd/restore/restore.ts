import { KhwError } from "../../../proto/errors.ts";
import {
  type AdvanceRestoreRequest,
  type EtcdMember,
  Restore,
  RestorePhase,
} from "../../../proto/gen/khw/agent/v1/etcd.ts";
import { continuingCommand } from "../../../proto/restore.ts";
import { refuse } from "../../../proto/validate.ts";
import type { Os } from "../../os/os.ts";
import { etcdDataFolder, etcdJoinDropIn } from "../../paths.ts";
import type { MachineLock } from "../../state/machine-lock.ts";
import { compactTime } from "../snapshots/record.ts";
import { refuseWithoutRoom, walBytes } from "../snapshots/verify.ts";
import type { Snapshots } from "../snapshots/snapshots.ts";
import { createStartGuard } from "./start-guard.ts";
import { createHeldMachine } from "./hold.ts";
import type { RestoreRecord } from "./record.ts";
import type { RestoredRelease } from "./release.ts";
import { parseRestorePlan, refuseOtherUnit, type RestorePlan } from "./plan.ts";
import { startEtcd, startKubernetes, stopUnit } from "./services.ts";

/** Runs this machine's part in a restore of the whole cluster, phase by phase. */
export interface Restorer {
  /**
   * Runs one call at a time.
   * @throws KhwError BUSY; OUT_OF_ORDER for a phase out of order; the error of a failed phase
   */
  advance(request: AdvanceRestoreRequest, holder: string): Promise<Restore>;
  /** Whether a restore has begun here and has not finished, even if its record is lost. */
  inProgress(): boolean;
}

export interface RestorerOptions {
  readonly os: Os;
  readonly record: RestoreRecord;
  readonly machineLock: MachineLock;
  readonly snapshots: Pick<Snapshots, "list" | "fileOf">;
  readonly release: RestoredRelease;
  readonly member: (signal: AbortSignal) => Promise<EtcdMember>;
  /** Returns an error if etcd's data cannot be replaced because its disk is not mounted. */
  readonly missingDisk: () => Promise<KhwError | null>;
  /** Called with the member's new IDs, once it belongs to the restored cluster. */
  readonly joined: (member: EtcdMember, plan: Pick<RestorePlan, "peers">) => Promise<void>;
  readonly told: (restore: Restore) => void;
  readonly signal: AbortSignal;
}

const kubernetesUnits = ["kube-apiserver.service", "kube-controller-manager.service", "kube-scheduler.service"];
const etcdUnit = "etcd.service";

/**
 * Prepares restores on this machine. If an earlier agent process left a restore unfinished, that restore holds the
 * machine lock from now on.
 */
export async function createRestorer(options: RestorerOptions): Promise<Restorer> {
  const { os, record, machineLock, snapshots, release, member, missingDisk, joined, told, signal } = options;
  const startGuard = createStartGuard(os);
  const guarded = await startGuard.isClosed([...kubernetesUnits, etcdUnit]);
  const machine = createHeldMachine(machineLock);
  let turn: Promise<unknown> = Promise.resolve();

  const inProgress = (): boolean => record.unfinished() !== undefined || (record.current() === undefined && guarded);
  const hold = (holder: string): Promise<void> => machine.take(`a restore of etcd that ${holder} began`);
  const phases: Readonly<Record<number, (plan: RestorePlan, restore: Restore) => Promise<Partial<Restore>>>> = {
    // This phase needs no further work, because a restore that has begun holds the machine lock.
    [RestorePhase.RESTORE_PHASE_HELD]: async () => ({}),
    [RestorePhase.RESTORE_PHASE_ABANDONED]: async () => {
      // Units may still be stopped, either by an earlier restore that this restore replaced, or by a phase that failed
      // halfway.
      if (await startGuard.isClosed([...kubernetesUnits, etcdUnit]))
        throw outOfTurn("the services that the restore stopped on this machine are still stopped");
      return {};
    },
    [RestorePhase.RESTORE_PHASE_KUBERNETES_STOPPED]: async () => {
      await startGuard.close([...kubernetesUnits, etcdUnit]);
      for (const unit of kubernetesUnits) await stopUnit(unit, os.systemd, signal);
      return {};
    },
    [RestorePhase.RESTORE_PHASE_ETCD_STOPPED]: async () => {
      await stopUnit(etcdUnit, os.systemd, signal);
      return {};
    },
    [RestorePhase.RESTORE_PHASE_RESTORED]: async (plan, { begunUnixMillis, kubernetesVersion }) => {
      const { snapshotId, restoreId, name, peerUrl, initialCluster } = plan;
      await refuseWithoutDisk();
      const aside = `${etcdDataFolder}/before-restore-${compactTime(begunUnixMillis)}`;
      await os.etcdctl.replaceData(snapshots.fileOf(snapshotId), {
        name,
        peerUrl,
        initialCluster,
        // A new token for each restore, so that a member with old data cannot mistake these members for its own
        // cluster.
        token: `khw-restore-${restoreId}`,
        data: etcdDataFolder,
        fresh: freshFolder(restoreId),
        aside,
        signal,
      });
      await os.files.remove(etcdJoinDropIn);
      // Replaces the data first, because only the combination of the old data and the older programs damages data.
      if (kubernetesVersion !== undefined) await release.install(restoreId);
      return { keptAside: (await os.files.stat(aside)) === undefined ? "" : aside };
    },
    [RestorePhase.RESTORE_PHASE_ETCD_STARTED]: async ({ snapshotId, ...plan }) => {
      await refuseWithoutDisk();
      await startGuard.open([etcdUnit]);
      const now = await startEtcd({ os, member, signal });
      const revision = (await snapshots.list()).find(({ id }) => id === snapshotId)?.revision ?? 0;
      if (now.revision < revision) throw notRestored(now, revision);
      await joined(now, plan);
      return {};
    },
    [RestorePhase.RESTORE_PHASE_FINISHED]: async ({ restoreId }) => {
      await startGuard.open(kubernetesUnits);
      await startKubernetes(os, signal);
      await os.etcdctl.tidyData(freshFolder(restoreId), signal);
      return {};
    },
  };

  const refuseWithoutDisk = async (): Promise<void> => {
    const missing = await missingDisk();
    if (missing !== null) throw missing;
  };
  const begin = async (plan: RestorePlan, holder: string): Promise<Restore> => {
    await refuseWithoutDisk();
    await refuseOtherUnit(plan, os.files);
    const { restoreId: id, snapshotId, desired } = plan;
    const snapshot =
      (await snapshots.list()).find((one) => one.id === snapshotId) ??
      refuse(
        "snapshot_id",
        `this machine has no verified snapshot ${snapshotId}`,
        "copy the snapshot to this machine first (WriteSnapshot)",
      );
    await refuseWithoutRoom(etcdDataFolder, snapshot.size + walBytes, os.files);
    if (desired !== undefined) await release.check(desired);
    await hold(holder);
    const change = desired && {
      kubernetesVersion: desired.kubernetesVersion,
      snapshotTakenUnixMillis: snapshot.takenUnixMillis,
    };
    const restore = Restore.fromPartial({ id, snapshotId, holder, begunUnixMillis: os.clock.now(), ...change });
    try {
      if (desired !== undefined) await release.store(id, desired);
      await record.set(restore);
    } catch (error) {
      // Without a record, no later call would release the machine lock.
      if (!inProgress()) machine.release();
      throw error;
    }
    told(restore);
    return restore;
  };

  const advance = async (request: AdvanceRestoreRequest, holder: string): Promise<Restore> => {
    const plan = parseRestorePlan(request, os.identity);
    const work = phases[request.phase] ?? refuse("phase", "is not a phase of a restore");
    const known = record.current();
    const same = known?.id === plan.restoreId && known.snapshotId === plan.snapshotId;
    if (!same && request.phase !== RestorePhase.RESTORE_PHASE_HELD) {
      throw outOfTurn("this restore was not started on this machine");
    }
    // The restore was abandoned on this machine but not on the others, so it continues.
    const again =
      known?.phase === RestorePhase.RESTORE_PHASE_ABANDONED && request.phase === RestorePhase.RESTORE_PHASE_HELD;
    if (!same) refuseReplacing(record.unfinished(), plan);
    const restore = same && !again ? known : await begin(plan, holder);
    // Stores the desired state again if its file was damaged. The restore could not continue without this state.
    const isOpen = record.unfinished()?.kubernetesVersion !== undefined;
    if (isOpen && plan.desired !== undefined) await release.store(restore.id, plan.desired);
    refuseOutOfTurn(restore.phase, request.phase);
    if (restore.phase >= request.phase) return restore;
    await hold(restore.holder);
    const done = { ...restore, ...(await work(plan, restore)), phase: request.phase };
    await record.set(done);
    told(done);
    if (record.unfinished() === undefined) {
      machine.release();
      if (done.kubernetesVersion !== undefined) await release.forget();
    }
    return done;
  };

  const unfinished = record.unfinished();
  if (unfinished !== undefined) void hold(unfinished.holder);
  // The guard keeps units from starting, so a restore is in progress even without its record.
  else if (guarded) void machine.take("a restore of etcd, whose record is lost,");
  // The power can fail after a restore ends but before its stored state is removed. If the removal fails here, the next
  // start tries again. A restore whose record is lost still needs the stored state.
  if (!inProgress()) await release.forget().catch(() => {});

  return {
    inProgress,
    advance: (request, holder) => {
      const mine = turn.then(() => advance(request, holder));
      turn = mine.catch(() => undefined);
      return mine;
    },
  };
}

function freshFolder(restoreId: string): string {
  return `${etcdDataFolder}/.khw-restore-${restoreId}`;
}

/**
 * If an unfinished restore also changes the Kubernetes release, only a restore that makes the same change may replace
 * it. Otherwise, the programs would not fit the data.
 */
function refuseReplacing(unfinished: Restore | undefined, { desired }: RestorePlan): void {
  const { kubernetesVersion: version } = unfinished ?? {};
  if (unfinished === undefined || version === undefined || version === desired?.kubernetesVersion) return;
  const why = `an unfinished restore of ${unfinished.snapshotId} also installs Kubernetes ${version} on this machine`;
  throw new KhwError("OUT_OF_ORDER", why, { hint: `continue that restore: \`${continuingCommand(unfinished)}\`` });
}

function refuseOutOfTurn(reached: RestorePhase, wanted: RestorePhase): void {
  const { RESTORE_PHASE_ABANDONED: abandoned, RESTORE_PHASE_HELD: held } = RestorePhase;
  if (reached === abandoned && wanted !== abandoned) throw outOfTurn("this restore was abandoned on this machine");
  const next = wanted === abandoned ? reached <= held : wanted <= reached + 1;
  if (!next && reached !== wanted)
    throw outOfTurn(`this machine is at phase ${reached}, so phase ${wanted} is not the next phase`);
}

function outOfTurn(why: string): KhwError {
  return new KhwError("OUT_OF_ORDER", `the phases of a restore run in order, and ${why}`, {
    hint: "run the same command again; it continues from each machine's phase",
  });
}

function notRestored({ revision }: EtcdMember, wanted: number): KhwError {
  const what = `is at revision ${revision}, which is older than the snapshot's revision ${wanted}`;
  return new KhwError("POSTCONDITION_FAILED", `the restored etcd ${what}`, {
    hint: "run the same command again; see `journalctl -u etcd` on the nodes",
  });
}
