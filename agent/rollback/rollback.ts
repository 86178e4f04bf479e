import { type DesiredState, hasEtcd } from "../../proto/desired.ts";
import { planSteps, type Step, type StepResult } from "../../proto/step.ts";
import { type Look, waitFor } from "../../proto/wait-for.ts";
import { downgradeObstacle } from "../etcd/cluster-version.ts";
import { quorumObstacle } from "../etcd/quorum-obstacle.ts";
import { healthChecks } from "../health/health.ts";
import { doubtOwnView } from "../health/own-view.ts";
import type { Os } from "../os/os.ts";
import { etcdFolder, installedFolder, kubernetesFolder, stateFolder, unitFolder } from "../paths.ts";
import { type KeptState, sameState } from "../state/desired-state.ts";
import type { Rollback } from "../state/rollback.ts";
import { isOlderEtcd, rollbackSteps } from "../steps/rollback.ts";
import { doubtFailures } from "./evidence.ts";
import { sharedDifference } from "./shared-files.ts";

export interface RollbackOptions {
  readonly os: Os;
  readonly keptState: Pick<KeptState, "current" | "damage">;
  readonly steps: (desired: DesiredState) => Step<Os>[];
  /** Whether nginx answers the load balancer's health check with 503. */
  readonly drained: () => boolean;
  readonly signal: AbortSignal;
}

/** The folders that a rollback writes links, units and credentials to. */
const writtenFolders = [installedFolder, unitFolder, kubernetesFolder, etcdFolder, stateFolder];
const [healthMillis, doubtMillis, lookMillis] = [4_000, 30_000, 2_000];
const neededBytes = 16 * 1024 * 1024;

export function createRollback({ os, keptState, steps, drained, signal }: RollbackOptions): Rollback {
  return {
    wayBack: async (wanted, { wasHealthy }) => {
      const to = keptState.damage() === undefined ? keptState.current()?.desired : undefined;
      if (to === undefined || sameState(to, wanted)) return undefined;
      const unhealthy = wasHealthy
        ? null
        : await lastReason(() => whyUnhealthy(steps(to), os, signal), {
            what: "the previous state is not healthy",
            deadlineMillis: healthMillis,
            os,
            signal,
          });
      const shared = sharedDifference(to, wanted);
      const obstacle =
        unhealthy !== null
          ? `its previous state was not healthy when the operation started: ${unhealthy}`
          : shared === undefined
            ? null
            : `the operation also changes ${shared}, which must be the same on all controllers`;
      return { to, healthy: unhealthy === null, obstacle };
    },
    decide: async ({ to, obstacle }, { wanted, steps: applied, results }) => {
      const touched = applied.filter(({ id }, index) => mayChangeProcesses(id) && isTouched(results[index]));
      if (touched.length === 0) return { kind: "unneeded" };
      if (obstacle !== null) return { kind: "refused", reason: obstacle };
      const reason =
        (await doubtView({ to, failed: failedComponents(applied, results) })) ??
        (await etcdObstacle({ from: wanted, to })) ??
        (await spaceObstacle(os));
      if (reason !== null) return { kind: "refused", reason };
      return { kind: "begin", steps: rollbackSteps(steps(to), { from: wanted, to }) };
    },
  };

  async function doubtView(failure: { readonly to: DesiredState; readonly failed: string[] }): Promise<string | null> {
    if (failure.failed.length === 0) return "no component failed";
    const look = async (): Promise<string | null> =>
      (await doubtOwnView(os, signal)) ?? doubtFailures(os, { ...failure, drained: drained(), signal });
    const what = "the agent is not sure that the change caused the failure";
    const doubt = await lastReason(look, { what, deadlineMillis: doubtMillis, os, signal });
    return doubt === null ? null : `the agent cannot be sure that the change caused the failure: ${doubt}`;
  }

  async function etcdObstacle(states: {
    readonly from: DesiredState;
    readonly to: DesiredState;
  }): Promise<string | null> {
    const { to } = states;
    if (!hasEtcd(to)) return null;
    const drift = await steps(to)
      .find(({ id }) => id === "service/etcd")
      ?.check(os, signal);
    // etcd on this machine still matches the older desired state, so the rollback does not stop etcd.
    if (drift === undefined || drift === null) return null;
    const newer = isOlderEtcd(states) ? await downgradeObstacle(to, os, signal) : null;
    if (newer !== null) return newer;
    const quorum = await quorumObstacle(os, { mayPause: false, signal });
    return quorum === null ? null : `its etcd must not be stopped now: ${quorum}`;
  }
}

interface LookOptions {
  readonly what: string;
  readonly deadlineMillis: number;
  readonly os: Os;
  readonly signal: AbortSignal;
}

/**
 * Calls `look` repeatedly until `look` returns null or the deadline passes. Returns the last result of `look`. On a
 * busy machine, a response or the agent itself can be late.
 */
async function lastReason(
  look: () => Promise<string | null>,
  { what, deadlineMillis, os, signal }: LookOptions,
): Promise<string | null> {
  let reason: string | null = null;
  const check = async (): Promise<Look<void>> => {
    reason = await look();
    return reason === null ? { reached: undefined } : { seen: reason };
  };
  try {
    await waitFor({ what, check, deadlineMillis, intervalMillis: lookMillis, signal, clock: os.clock });
  } catch {
    signal.throwIfAborted();
  }
  return reason;
}

/** Returns the first drift or error that the service and health checks report; null if all checks pass. */
async function whyUnhealthy(steps: readonly Step<Os>[], os: Os, signal: AbortSignal): Promise<string | null> {
  const checked = steps.filter(({ id }) => id.startsWith("service/") || id.startsWith("ready/"));
  const planned = await planSteps(checked, os, signal);
  const [first] = planned.flatMap(({ step, drift, error }) => {
    const reason = drift?.summary ?? error?.message;
    return reason === undefined ? [] : `${step.id}: ${reason}`;
  });
  return first ?? null;
}

/** Returns an error text if a folder has too little free space. A full disk would stop the rollback halfway. */
async function spaceObstacle({ files }: Os): Promise<string | null> {
  for (const folder of writtenFolders) {
    const free = await files.available(folder);
    if (free < neededBytes) return `only ${Math.floor(free / 1024)} KiB are free in ${folder}`;
  }
  return null;
}

/** Whether the step with this id can affect a process, either immediately or at its next start. */
function mayChangeProcesses(id: string): boolean {
  return /^(?:binary|unit|service|ready|stopped|credential|config|nginx)\//.test(id) || /^etcd\/.*\.pem$/.test(id);
}

function isTouched(result: StepResult | undefined): boolean {
  return result?.outcome === "changed" || result?.outcome === "failed";
}

/** Returns the components whose service or health check failed. */
function failedComponents(applied: readonly Step<Os>[], results: readonly StepResult[]): string[] {
  const failed = new Set(applied.filter((_, index) => results[index]?.outcome === "failed").map(({ id }) => id));
  return healthChecks
    .map(({ component }) => component)
    .filter((component) => failed.has(`service/${component}`) || failed.has(`ready/${component}`));
}
