import { type Backoff, backoffMillis } from "../proto/backoff.ts";
import type { DesiredState } from "../proto/desired.ts";
import { formatError, fromDetail, type KhwError, toKhwError } from "../proto/errors.ts";
import {
  HistoryKind,
  type Identity,
  type Operation,
  OperationKind,
  OperationState,
} from "../proto/gen/khw/agent/v1/agent.ts";
import { applySteps, withoutSteps } from "../proto/step.ts";
import { type AgentUpgrades, openAgentUpgrades } from "./agent-upgrade/agent-upgrade.ts";
import { type StatusStore, createStatusStore } from "./state/status-store.ts";
import type { Supervision } from "./config.ts";
import { type Etcd, openEtcd } from "./etcd/etcd.ts";
import { type HistoryEntry, type History, openHistory } from "./history/history.ts";
import { type Maintenance, openMaintenance } from "./state/maintenance.ts";
import { reportDamage } from "./state/damage.ts";
import { createOperations, type Operations, type OperationsOptions } from "./state/operations.ts";
import type { Clock } from "./os/clock.ts";
import type { Os } from "./os/os.ts";
import type { Storage } from "./os/storage.ts";
import { openNewVersion } from "./reconcile/new-version.ts";
import { createReconciler, type Reconciler } from "./reconcile/reconciler.ts";
import { openResetter, type Resetter } from "./reset/reset.ts";
import { controllerSteps, downloadSteps, installSteps, joinSteps } from "./steps.ts";
import { operationRecordIn, recoverInterrupted } from "./state/operation-record.ts";
import { createRollback } from "./rollback/rollback.ts";
import { hasControlPlane } from "./steps/control-plane.ts";
import { createLocalClients } from "./steps/local-clients.ts";
import { isRolledBack } from "../proto/rollback.ts";
import { undrainAbandoned } from "./rollback/abandoned-drain.ts";
import { createRestartLease } from "./supervise/restart-lease.ts";
import { createSupervisor, type Supervisor } from "./supervise/supervisor.ts";
import { openKeptState, type KeptState } from "./state/desired-state.ts";
import { createMachineLock, type MachineLock } from "./state/machine-lock.ts";
import { openUpgradeRecord, type UpgradeRecord } from "./state/upgrade-record.ts";

/**
 * The machine, together with all parts of the agent that change or watch it. This object is created once the machine's
 * identity is known.
 */
export interface Node {
  readonly os: Os;
  readonly machineLock: MachineLock;
  readonly statusStore: StatusStore;
  readonly history: History;
  readonly keptState: KeptState;
  readonly operations: Operations;
  readonly maintenance: Maintenance;
  readonly upgradeRecord: UpgradeRecord;
  readonly agentUpgrades: AgentUpgrades;
  readonly supervisor: Supervisor;
  readonly reconciler: Reconciler;
  readonly etcd: Etcd;
  readonly resetter: Resetter;
}

export interface NodeOptions {
  readonly identity: () => Promise<Identity>;
  readonly open: (identity: Identity) => Os;
  readonly stateFolder: string;
  /** The agent's own version. */
  readonly version: string;
  readonly supervision: Supervision;
  readonly storage: Pick<Storage, "upload">;
  readonly status: (text: string) => void;
  readonly log: (line: string) => void;
  readonly failed: (error: KhwError) => void;
  /** Makes the agent exit, so that systemd starts it again. */
  readonly restart: (reason: string) => void;
  readonly signal: AbortSignal;
}

/**
 * Returns a function that opens the node on the first call and returns the same node afterwards. If opening fails, the
 * call rejects, and the next call tries again. The agent can therefore keep serving while the metadata server is down,
 * and report the failure to its callers.
 */
export function nodeOpener(options: NodeOptions): () => Promise<Node> {
  let opening: Promise<Node> | undefined;
  return () => {
    opening ??= openNode(options).catch((error: unknown) => {
      opening = undefined;
      options.failed(toKhwError(error));
      throw error;
    });
    return opening;
  };
}

const retryBackoff: Backoff = { firstMillis: 2_000, maxMillis: 60_000 };

/**
 * Returns the node as soon as it can be opened. Retries without waiting for a call, because there may be no client
 * calls after a boot. Rejects when the signal aborts.
 */
export async function openInTheEnd(
  open: () => Promise<Node>,
  { clock, signal }: { readonly clock: Clock; readonly signal: AbortSignal },
): Promise<Node> {
  for (let failures = 1; ; failures++) {
    try {
      return await open();
    } catch {
      // NodeOptions.failed has already reported the failure.
      await clock.delay(backoffMillis(failures, retryBackoff), signal);
    }
  }
}

async function openNode(options: NodeOptions): Promise<Node> {
  const { identity, open, stateFolder: folder, version, supervision, storage, status, log, restart, signal } = options;
  const os = open(await identity());
  const { files, clock } = os;
  const operationRecord = operationRecordIn(files, folder);
  const last = await recoverInterrupted(operationRecord);
  const keptState = await openKeptState(files, { folder });
  const history = await openHistory({ files, clock, folder, log });
  const statusStore = createStatusStore(last);
  const machineLock = createMachineLock({ clock, signal });
  // Opens the parts for resets and etcd before all parts that change the machine automatically. An unfinished reset or
  // restore may hold the machine lock.
  const resetter = await openResetter({ os, folder, keptState, machineLock, history, log, restart, signal });
  const etcd = await openEtcd({
    os,
    machineLock,
    history,
    keptState,
    folder,
    storage,
    steps: (desired) => controllerSteps(desired, { drained: false }),
    installSteps,
    log,
    signal,
  });

  const steps = (desired: DesiredState) => controllerSteps(desired, maintenance.current());
  const maintenance: Maintenance = await openMaintenance({
    os,
    folder,
    machineLock,
    statusStore,
    history,
    apply: async () => {
      const desired = keptState.current()?.desired;
      if (desired === undefined) return;
      // Applies only the steps for nginx's site and service, because a drain must not apply changed credentials.
      const site = withoutSteps(steps(desired), (id) => id !== "nginx/site" && id !== "service/nginx");
      const results = await applySteps(site, os, { signal, emit: () => {} });
      for (const result of results) if (result.outcome === "failed") throw result.error;
    },
  });
  const upgradeRecord = await openUpgradeRecord({ os, folder, statusStore, history });
  const agentUpgrades = await openAgentUpgrades({ os, folder, machineLock, statusStore, history, log, signal });
  for (const record of [operationRecord, keptState, maintenance, upgradeRecord, agentUpgrades]) {
    const damage = record.damage();
    if (damage !== undefined) reportDamage(damage, { history, log });
  }
  const watchDrain = (): void => {
    void undrainAbandoned({ os, maintenance, operation: () => operations.current(), log, signal });
  };
  const newVersion = await openNewVersion({ files, folder, version, log });
  const changed = (operation: Operation, shown: Operation): void => {
    statusStore.publish({ operation: shown });
    history.append(operationEntry(operation));
    if (isRolledBack(operation)) watchDrain();
  };
  const rollingBack: OperationsOptions["rollingBack"] = (event, { id }, reason) => {
    const entry = { kind: HistoryKind.HISTORY_KIND_OPERATION, subject: id, problem: true };
    const message =
      event === "started" ? "started a rollback to the previous state" : "rolled back to the previous state";
    history.append({ ...entry, message, cause: formatError(fromDetail(reason)) });
  };
  const clients = createLocalClients(os);
  const appliedSteps = (desired: DesiredState) => controllerSteps(desired, { ...maintenance.current(), clients });
  const hasKeptState = (): boolean => keptState.current() !== undefined || keptState.damage() !== undefined;
  const operations = createOperations({
    os,
    record: operationRecord,
    machineLock,
    steps: async (desired) => {
      if (hasKeptState() || (await hasControlPlane(os))) return appliedSteps(desired);
      return controllerSteps(desired, { ...maintenance.current(), isFresh: true });
    },
    downloads: downloadSteps,
    joins: joinSteps,
    rollback: createRollback({
      os,
      keptState,
      steps: appliedSteps,
      drained: () => maintenance.current().drained,
      signal,
    }),
    rollingBack,
    ending: clients.startAgain,
    established: async (operationId, desired) => {
      await keptState.save(operationId, desired);
      await newVersion.agrees();
    },
    changed,
    last,
    status,
    log,
    signal,
  });
  // The previous agent process may have exited after a rollback but before it undrained the node.
  watchDrain();
  const lease = createRestartLease({ os, keptState, log });
  const { probeMillis, reconcileMillis } = supervision;
  const shared = { os, machineLock, statusStore, history, lease, log, signal };
  const supervisor = createSupervisor({ ...shared, keptState, intervalMillis: probeMillis });
  const reconciler = createReconciler({
    ...shared,
    steps,
    keptState,
    operationDamage: () => operationRecord.damage(),
    newVersion,
    intervalMillis: reconcileMillis,
  });
  const state = { machineLock, statusStore, history, keptState, operations, maintenance, upgradeRecord, agentUpgrades };
  return { os, ...state, supervisor, reconciler, etcd, resetter };
}

function operationPrefix(kind: Operation["kind"]): string {
  if (kind === OperationKind.OPERATION_KIND_PREPARE) return "preparation ";
  return kind === OperationKind.OPERATION_KIND_JOIN ? "joining etcd: " : "";
}

function operationEntry({ id, holder, state, error, kind }: Operation): HistoryEntry {
  const entry = { kind: HistoryKind.HISTORY_KIND_OPERATION, subject: id };
  const what = operationPrefix(kind);
  if (state === OperationState.OPERATION_STATE_RUNNING) return { ...entry, message: `${what}started by ${holder}` };
  if (error === undefined) return { ...entry, message: `${what}done` };
  return { ...entry, message: `${what}failed`, cause: formatError(fromDetail(error)), problem: true };
}
