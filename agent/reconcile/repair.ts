import { applySteps, type Step, type StepResult, withoutDependents, withoutSteps } from "../../proto/step.ts";
import type { Os } from "../os/os.ts";
import type { RestartLease } from "../supervise/restart-lease.ts";
import type { Progress } from "./progress.ts";

/** What is checked and repaired without being asked: all but whether components answer, which is the supervisor's. */
export function checkedByItself(steps: readonly Step<Os>[]): Step<Os>[] {
  return withoutSteps(steps, (id) => id.startsWith("ready/")).map(withoutDown);
}

/** A process that does not run is the supervisor's to start; where a step differs by that alone, it holds. */
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
  /** Differ, and are not to be repaired yet. */
  readonly waiting: ReadonlySet<string>;
  /** The components answer: the steps of that name of all. */
  readonly ready: readonly Step<Os>[];
  readonly progress: Pick<Progress, "made">;
}

export interface Repaired {
  readonly step: Step<Os>;
  readonly result: StepResult;
}

/** Applies the steps that differ, but for those that wait, and for what needs them. */
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

/** What of a cluster's is restarted one at a time, by the step of its service. */
const spared: ReadonlyMap<string, "kube-apiserver" | "etcd"> = new Map([
  ["service/kube-apiserver", "kube-apiserver"],
  ["service/etcd", "etcd"],
]);

/** Of a cluster's API servers (and members of etcd) one is restarted at a time, and the next only when that one answers again. */
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
