import type { DesiredState } from "../../proto/desired.ts";
import { formatError, KhwError, toDetail, toKhwError } from "../../proto/errors.ts";
import type { GetPlanResponse } from "../../proto/gen/khw/agent/v1/agent.ts";
import { planSteps, type Step } from "../../proto/step.ts";
import type { StatusStore } from "../state/status-store.ts";
import type { History } from "../history/history.ts";
import { coalesce } from "../os/coalesce.ts";
import type { Os } from "../os/os.ts";
import { distrust, doubtOwnView } from "../health/own-view.ts";
import { createDriftTracker } from "./drift-tracker.ts";
import type { NewVersion } from "./new-version.ts";
import { pausedBecause } from "./paused.ts";
import { createProgress } from "./progress.ts";
import { checkedByItself, repairSteps } from "./repair.ts";
import { createSchedule } from "./schedule.ts";
import { createTriggers } from "./triggers.ts";
import type { RestartLease } from "../supervise/restart-lease.ts";
import type { KeptOperation, KeptState } from "../state/desired-state.ts";
import type { MachineLock } from "../state/machine-lock.ts";

/**
 * Keeps the machine in its desired state. Checks every step periodically and whenever files change, and repairs the
 * steps that differ.
 */
export interface Reconciler {
  /**
   * Returns the current differences.
   * @throws KhwError NO_STATE if no desired state is kept yet
   */
  plan(signal: AbortSignal): Promise<GetPlanResponse>;
  /**
   * Returns why the reconciler is making no progress; undefined if it is making progress. The caller uses the result
   * for the watchdog's keep-alives.
   */
  stuck(): string | undefined;
}

export interface ReconcilerOptions {
  readonly os: Os;
  readonly steps: (desired: DesiredState) => Step<Os>[];
  readonly keptState: KeptState;
  readonly machineLock: MachineLock;
  readonly statusStore: StatusStore;
  readonly history: History;
  readonly lease: RestartLease;
  /** Returns why the record of the last operation cannot be read; undefined if it can be read. */
  readonly operationDamage: () => string | undefined;
  readonly newVersion: NewVersion;
  readonly intervalMillis: number;
  readonly log: (line: string) => void;
  readonly signal: AbortSignal;
}

/** How long a restart is postponed while another controller's API server is restarting. */
const busyMillis = 15_000;
/** How long an agent that cannot trust its own observations waits before the next check. */
const doubtMillis = 15_000;
/**
 * The minimum time between checks, however often files change. If the regular interval is shorter, that interval is the
 * minimum time instead.
 */
const closestMillis = 1_000;

export function createReconciler(options: ReconcilerOptions): Reconciler {
  const {
    os,
    steps,
    keptState,
    machineLock,
    statusStore,
    history,
    lease,
    operationDamage,
    newVersion,
    intervalMillis,
    log,
    signal,
  } = options;
  const { clock } = os;
  const tracker = createDriftTracker({ statusStore, history, log, now: () => clock.now() });
  const progress = createProgress(
    () => clock.monotonic(),
    () => clock.now(),
  );
  let nextMillis = intervalMillis;
  /** Whether the last check found differences that the agent did not trust. */
  let doubted = false;

  const paused = (): string =>
    pausedBecause({
      kept: keptState.current(),
      holder: machineLock.holder(),
      operation: statusStore.read().operation,
      damage: keptState.damage() ?? operationDamage(),
    });

  const reconcile = async ({ desired, operationId }: KeptOperation, ending: AbortSignal): Promise<void> => {
    const list = checkedByItself(steps(desired));
    triggers.watch(list);
    const planned = await planSteps(list, os, ending);
    progress.made("its checks");
    if (ending.aborted) return;
    // Differences with a remedy do not count, because every version of the agent leaves these differences to a person.
    const isContent = planned.every(
      ({ drift, error }) => error === null && (drift === null || drift.remedy !== undefined),
    );
    if (isContent) await newVersion.agrees();
    const policy = newVersion.holdsBack() ? "report" : desired.driftPolicy;
    const { due, waiting } = tracker.checked(planned, policy);
    if (due.length === 0) return;
    const doubt = await doubtOwnView(os, ending);
    if (doubt !== null) {
      const error = distrust(doubt);
      if (!doubted) log(formatError(error));
      doubted = true;
      tracker.postponed(due, error);
      nextMillis = doubtMillis;
      return;
    }
    doubted = false;
    const ready = steps(desired).filter(({ id }) => id.startsWith("ready/"));
    const results = await repairSteps(list, os, { signal: ending, lease, waiting, ready, progress });
    if (ending.aborted) return;
    const { postponed } = tracker.repaired(results, operationId);
    if (postponed) nextMillis = busyMillis;
  };

  const run = coalesce(async () => {
    progress.begun();
    nextMillis = intervalMillis;
    try {
      await machineLock.whenIdle(async (ending) => {
        progress.made("its turn");
        const kept = keptState.current();
        const because = paused();
        if (kept === undefined || because !== "") tracker.paused(because, kept?.desired.driftPolicy);
        else await reconcile(kept, ending);
      });
      if (machineLock.holder() !== undefined) tracker.paused(paused(), keptState.current()?.desired.driftPolicy);
    } catch (error) {
      log(`the drift check failed: ${formatError(toKhwError(error))}`);
    } finally {
      progress.ended();
      schedule.within(Math.min(nextMillis, tracker.nextDueMillis()));
    }
  });
  const schedule = createSchedule(run, { closestMillis: Math.min(closestMillis, intervalMillis), signal });
  const triggers = createTriggers({
    os,
    machineLock,
    statusStore,
    signal,
    within: (millis) => schedule.within(millis),
  });
  schedule.within(0);

  return {
    plan: async (asked) => {
      const kept = keptState.current();
      const damage = keptState.damage();
      if (damage !== undefined) {
        throw new KhwError("NO_STATE", damage, { hint: "run `khw-client bootstrap`, which rewrites the record" });
      }
      if (kept === undefined) {
        throw new KhwError("NO_STATE", "this agent has no desired state yet: no operation has succeeded here", {
          hint: "run `khw-client bootstrap`",
        });
      }
      return plan(steps(kept.desired), os, asked);
    },
    stuck: () => progress.stuck(),
  };
}

async function plan(steps: readonly Step<Os>[], os: Os, signal: AbortSignal): Promise<GetPlanResponse> {
  const planned = await planSteps(steps, os, signal);
  const differing = planned.filter(({ drift }) => drift !== null);
  const texts = await Promise.all(differing.map(async ({ step }) => ({ step: step.id, ...(await step.text?.(os)) })));
  return {
    steps: planned.map(({ step: { id, title }, drift, error }) => ({
      id,
      title,
      drift: drift?.summary,
      remedy: drift?.remedy,
      error: error === null ? undefined : toDetail(error),
    })),
    differences: texts.flatMap(({ step, path, found, wanted }) =>
      path === undefined || wanted === undefined || found === wanted ? [] : { step, path, found, wanted },
    ),
  };
}
