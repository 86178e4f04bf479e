import type { DesiredState } from "../../proto/desired.ts";
import type { Step, StepResult } from "../../proto/step.ts";
import type { Os } from "../os/os.ts";

/** Describes how an Apply can be rolled back. Determined before the Apply changes anything. */
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
  /** The result of each step, in the order of `steps`. */
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
   * Returns undefined if there is no previous desired state, or if the new desired state is the same.
   * @param options.wasHealthy whether an interrupted run of this operation determined that the previous state was
   * healthy
   */
  wayBack(wanted: DesiredState, options: { readonly wasHealthy: boolean }): Promise<WayBack | undefined>;
  decide(way: WayBack, failure: Failure): Promise<Decision>;
}
