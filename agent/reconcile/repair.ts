import { applySteps, type Step, type StepResult, withoutDependents, withoutSteps } from "../../proto/step.ts";
import type { Os } from "../os/os.ts";
import type { RestartLease } from "../supervise/restart-lease.ts";
import type { Progress } from "./progress.ts";

/**
 * Returns the steps that the reconciler checks and repairs. Leaves out the steps for the health of components, which
 * the supervisor watches.
 */
export function checkedByItself(steps: readonly Step<Os>[]): Step<Os>[] {
  return withoutSteps(steps, (id) => id.startsWith("ready/")).map(withoutDown);
}

/**
 * Returns the step with a check that ignores a stopped process. The supervisor starts stopped processes.
 */
function withoutDown(step: Step<Os>): Step<Os> {
  return {
    ...step,
    check: async (os, signal) => {
      const drift = await step.check(os, signal);
      return drift?.process === "down" ? null : drift;
    },
  };
}

export interface RepairOptions {
  readonly signal: AbortSignal;
  readonly lease: RestartLease;
  /** Steps that differ, but whose repair is not due yet. */
  readonly waiting: ReadonlySet<string>;
  /** The "ready" steps of all components. */
  readonly ready: readonly Step<Os>[];
  readonly progress: Pick<Progress, "made">;
}

export interface Repaired {
  readonly step: Step<Os>;
  readonly result: StepResult;
}

/** Applies the steps that differ, except waiting steps and all steps that depend on waiting steps. */
export async function repairSteps(steps: readonly Step<Os>[], os: Os, options: RepairOptions): Promise<Repaired[]> {
  const { signal, lease, waiting, ready, progress } = options;
  const list = withoutDependents(steps, waiting).map((step) =>
    spared.has(step.id) ? oneAtATime(step, { lease, ready }) : step,
  );
  const results = await applySteps(list, os, { signal, emit: ({ step }) => progress.made(step) });
  return list.flatMap((step, index) => {
    const result = results[index];
    return result === undefined ? [] : { step, result };
  });
}

/** The services that must restart on only one node at a time, keyed by the ID of their step. */
const spared: ReadonlyMap<string, "kube-apiserver" | "etcd"> = new Map([
  ["service/kube-apiserver", "kube-apiserver"],
  ["service/etcd", "etcd"],
]);

/**
 * Makes sure that only one API server, and only one etcd member, of the cluster restarts at a time. The next restart
 * waits until the process that was restarted answers again.
 */
function oneAtATime(step: Step<Os>, { lease, ready }: Pick<RepairOptions, "lease" | "ready">): Step<Os> {
  const of = spared.get(step.id);
  return {
    ...step,
    apply: async (os, context) => {
      const drift = await step.check(os, context.signal);
      if (drift?.process !== "restart") return step.apply(os, context);
      await using _ = await lease.take(context.signal, of === undefined ? {} : { of });
      await step.apply(os, context);
      await ready.find(({ id }) => id === `ready/${of}`)?.apply(os, context);
    },
  };
}
