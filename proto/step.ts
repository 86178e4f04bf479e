import { KhwError, toKhwError } from "./errors.ts";

/** A difference from the desired state, described for people. Never contains secrets. */
export interface Drift {
  /** A single line, for example "mode is 0644, not 0600". */
  readonly summary: string;
  /**
   * The effect on a process. "restart": the repair restarts a running process. "down": the only difference is that no
   * process is running. In that case, the supervisor, not the repair, starts the process.
   */
  readonly process?: "restart" | "down";
  /**
   * The action that a person must take. Set if khw cannot know the reason for the drift, and therefore only reports the
   * drift. An apply skips a step with a remedy, but still runs the steps that need this step.
   */
  readonly remedy?: string;
}

/** The current and the desired content of a text file. The file must not contain secrets. */
export interface TextDifference {
  readonly path: string;
  /** Absent if the file does not exist. */
  readonly found: string | undefined;
  readonly wanted: string;
}

/** The arguments of `apply`, apart from `os`. */
export interface ApplyContext {
  readonly signal: AbortSignal;
  /** Reports progress, for example "63 of 118 MB". */
  readonly progress: (text: string) => void;
}

/**
 * A condition that a machine (or a cloud project) must meet. `check` tests the condition and is read-only. `apply`
 * establishes the condition, and may assume that all steps in `needs` hold. A step depends only on the desired state,
 * never on another step's output. A plan can therefore be made without applying any step.
 */
export interface Step<Os> {
  readonly id: string;
  /** The condition, described for people; for example, "kube-apiserver v1.21.0 is installed". */
  readonly title: string;
  readonly needs: readonly string[];
  /** The steps that must have ended first, whether they succeed or fail. Steps that are not in the list are ignored. */
  readonly after?: readonly string[];
  /**
   * The folders to watch between checks. A change in these folders can make the machine differ from the step's
   * condition.
   */
  readonly watches?: readonly string[];
  /**
   * How many times `apply` may run in total. Only a step that waits may run more than once, because its condition may
   * no longer hold after the wait. Default: 1.
   */
  readonly attempts?: number;
  check(os: Os, signal: AbortSignal): Promise<Drift | null>;
  apply(os: Os, context: ApplyContext): Promise<void>;
  /**
   * Explains why the step still does not hold after its apply. Gives more detail than the drift. Returns null if the
   * reason is unknown. Read-only.
   */
  explain?(os: Os, drift: Drift): Promise<KhwError | null>;
  /** Returns the current and the desired text. Only for steps that write a text file without secrets. Read-only. */
  text?(os: Os): Promise<TextDifference>;
}

export type StepEvent =
  | { readonly kind: "started"; readonly step: string; readonly drift: Drift }
  | { readonly kind: "progress"; readonly step: string; readonly text: string }
  | { readonly kind: "finished"; readonly step: string; readonly result: StepResult };

export type StepResult =
  | { readonly outcome: "unchanged"; readonly millis: number }
  | { readonly outcome: "changed"; readonly millis: number; readonly drift: Drift }
  /** The step differs, and a person must repair it. */
  | { readonly outcome: "reported"; readonly millis: number; readonly drift: Drift & { readonly remedy: string } }
  | { readonly outcome: "failed"; readonly millis: number; readonly drift: Drift | null; readonly error: KhwError }
  | { readonly outcome: "skipped"; readonly millis: 0 };

export interface RunOptions {
  readonly signal: AbortSignal;
  readonly emit: (event: StepEvent) => void;
}

/**
 * Checks every step, applies the steps that differ, and checks them again. Each step starts as soon as all steps in its
 * `needs` hold, and all steps in its `after` have ended. If a step fails, the steps that need it are skipped, and all
 * others continue. Returns the results in the order of the list.
 */
export async function applySteps<Os>(steps: readonly Step<Os>[], os: Os, options: RunOptions): Promise<StepResult[]> {
  refuseDisorder(steps);
  const running = new Map<string, Promise<StepResult>>();
  const ended = (ids: readonly string[]): Promise<StepResult[]> =>
    Promise.all(ids.flatMap((id) => running.get(id) ?? []));
  for (const step of steps) {
    running.set(
      step.id,
      Promise.all([ended(step.needs), ended(step.after ?? [])]).then(async ([results]) => {
        const held = results.every(({ outcome }) => outcome !== "failed" && outcome !== "skipped");
        const result: StepResult = held ? await applyStep(step, os, options) : { outcome: "skipped", millis: 0 };
        options.emit({ kind: "finished", step: step.id, result });
        return result;
      }),
    );
  }
  return Promise.all(running.values());
}

/** Throws unless all ids are unique and each step waits only for earlier steps. This rules out circular dependencies. */
function refuseDisorder(steps: readonly Step<never>[]): void {
  const all = new Set(steps.map(({ id }) => id));
  const known = new Set<string>();
  for (const { id, needs, after = [] } of steps) {
    const waitsFor = [...needs, ...after.filter((other) => all.has(other))];
    const missing = waitsFor.find((need) => !known.has(need));
    if (missing !== undefined) {
      throw new KhwError("INTERNAL", `step ${id} needs ${missing}, which is not an earlier step`);
    }
    if (known.has(id)) throw new KhwError("INTERNAL", `two steps have the id ${id}`);
    known.add(id);
  }
}

async function applyStep<Os>(step: Step<Os>, os: Os, { signal, emit }: RunOptions): Promise<StepResult> {
  const start = performance.now();
  const millis = (): number => Math.round(performance.now() - start);
  let drift: Drift | null = null;
  try {
    signal.throwIfAborted();
    drift = await step.check(os, signal);
    if (drift === null) return { outcome: "unchanged", millis: millis() };
    const { remedy } = drift;
    if (remedy !== undefined) return { outcome: "reported", millis: millis(), drift: { ...drift, remedy } };
    emit({ kind: "started", step: step.id, drift });
    const progress = (text: string): void => emit({ kind: "progress", step: step.id, text });
    let rest: Drift | null = drift;
    for (let attempt = 1; rest !== null && attempt <= (step.attempts ?? 1); attempt++) {
      if (attempt > 1) progress(`again: ${rest.summary}`);
      await step.apply(os, { signal, progress });
      rest = await step.check(os, signal);
    }
    if (rest !== null) {
      const explained = (await step.explain?.(os, rest)) ?? null;
      if (explained !== null) throw explained;
      throw new KhwError("POSTCONDITION_FAILED", `still differs after apply: ${rest.summary}`, {
        hint: "run the command again; another program may have changed the machine at the same time",
      });
    }
    return { outcome: "changed", millis: millis(), drift };
  } catch (error) {
    return { outcome: "failed", millis: millis(), drift, error: toKhwError(error).at({ step: step.id }) };
  }
}

/**
 * Returns the steps that are not excluded and do not need an excluded step, directly or indirectly. Keeps the order of
 * the list.
 */
export function withoutDependents<Os>(steps: readonly Step<Os>[], excluded: ReadonlySet<string>): Step<Os>[] {
  const out = new Set(excluded);
  return steps.filter(({ id, needs }) => {
    if (needs.some((need) => out.has(need))) out.add(id);
    return !out.has(id);
  });
}

/** Returns the steps without the excluded steps. The remaining steps no longer wait for the excluded ones. */
export function withoutSteps<Os>(steps: readonly Step<Os>[], excluded: (id: string) => boolean): Step<Os>[] {
  return steps
    .filter(({ id }) => !excluded(id))
    .map((step) => ({ ...step, needs: step.needs.filter((id) => !excluded(id)) }));
}

/** Returns the selected steps and all steps that they need, directly or indirectly. Keeps the order of the list. */
export function withNeeds<Os>(steps: readonly Step<Os>[], wanted: (id: string) => boolean): Step<Os>[] {
  const kept = new Set<string>();
  for (const { id, needs } of steps.toReversed()) {
    if (!kept.has(id) && !wanted(id)) continue;
    kept.add(id);
    for (const need of needs) kept.add(need);
  }
  return steps.filter(({ id }) => kept.has(id));
}

/**
 * Returns the steps in an order in which each step follows all steps that it waits for. Otherwise keeps the order of the
 * list.
 */
export function inOrder<Os>(steps: readonly Step<Os>[]): Step<Os>[] {
  const ordered: Step<Os>[] = [];
  const seen = new Set<Step<Os>>();
  const add = (step: Step<Os>): void => {
    if (seen.has(step)) return;
    seen.add(step);
    const { needs, after = [] } = step;
    for (const other of steps) if (needs.includes(other.id) || after.includes(other.id)) add(other);
    ordered.push(step);
  };
  for (const step of steps) add(step);
  return ordered;
}

export type PlannedStep<Os> = {
  readonly step: Step<Os>;
  readonly drift: Drift | null;
  readonly error: KhwError | null;
};

/** Checks all steps in parallel, and changes nothing. Returns the results in the order of the list. */
export async function planSteps<Os>(
  steps: readonly Step<Os>[],
  os: Os,
  signal: AbortSignal,
): Promise<PlannedStep<Os>[]> {
  return Promise.all(
    steps.map(async (step): Promise<PlannedStep<Os>> => {
      try {
        return { step, drift: await step.check(os, signal), error: null };
      } catch (error) {
        return { step, drift: null, error: toKhwError(error).at({ step: step.id }) };
      }
    }),
  );
}
