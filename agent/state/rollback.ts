import type { DesiredState } from "../../proto/desired.ts";
import type { Step, StepResult } from "../../proto/step.ts";
import type { Os } from "../os/os.ts";

/** The possible rollback of an Apply, determined before the Apply changes anything. */
export interface WayBack {
  /** The desired state of the machine before the Apply. */
  readonly to: DesiredState;
  /** Whether every service was running and healthy in the previous state. */
  readonly healthy: boolean;
  /** Why the agent must not roll back to this state; null if a rollback is allowed. */
  readonly obstacle: string | null;
}

/** A failed Apply. */
export interface Failure {
  readonly wanted: DesiredState;
  readonly steps: readonly Step<Os>[];
  /** The results of the steps, in the same order. */
  readonly results: readonly StepResult[];
}

export type Decision =
  /** The Apply changed nothing that affects a process, so no rollback is needed. */
  | { readonly kind: "unneeded" }
  | { readonly kind: "refused"; readonly reason: string }
  | { readonly kind: "begin"; readonly steps: readonly Step<Os>[] };

/** Decides whether a failed Apply is rolled back to the machine's previous state. */
export interface Rollback {
  /**
   * Returns undefined if there is no previous state, or if the previous state equals the new desired state.
   * @param options.wasHealthy whether an interrupted run of this operation determined that the previous state was
   * healthy
   */
  wayBack(wanted: DesiredState, options: { readonly wasHealthy: boolean }): Promise<WayBack | undefined>;
  decide(way: WayBack, failure: Failure): Promise<Decision>;
}
