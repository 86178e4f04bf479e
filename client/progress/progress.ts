import type { KhwError } from "../../proto/errors.ts";
import type { Event } from "../../proto/gen/khw/agent/v1/agent.ts";
import type { StepEvent } from "../../proto/step.ts";

/** The events of a long command. Displays show only these events. */
export type ProgressEvent =
  /**
   * A sentence that is not about a single node. The final sentence is printed when the command succeeds, together with
   * the total time.
   */
  | { readonly kind: "note"; readonly text: string; readonly final?: true }
  /** Work starts on all of these tracks at the same time. A track is a node's name, or "load balancer". */
  | { readonly kind: "begin"; readonly tracks: readonly string[] }
  /** The number of the track's steps. For a node, the agent's own event reports this number. */
  | { readonly kind: "steps"; readonly track: string; readonly total: number }
  /** An agent's own event. */
  | { readonly kind: "node"; readonly node: string; readonly event: Event }
  /** A step of the load balancer. */
  | { readonly kind: "loadBalancer"; readonly event: StepEvent }
  /** A step that the client itself does for a track. */
  | { readonly kind: "step"; readonly track: string; readonly event: StepEvent }
  /**
   * A track has ended. If there is no error, the track succeeded. If there is a text, it replaces the usual success
   * message.
   */
  | {
      readonly kind: "end";
      readonly track: string;
      readonly changed: number;
      readonly error?: KhwError | undefined;
      readonly text?: string;
    }
  /** The result of a check. */
  | { readonly kind: "check"; readonly title: string; readonly error?: KhwError | undefined };

/** A command's display, and the signal that is aborted when the user interrupts the command. */
export interface ProgressOptions {
  readonly progress: Progress;
  /** Aborted by Ctrl-C. */
  readonly signal: AbortSignal;
}

export const loadBalancerTrack = "load balancer";

/** Shows progress. Except in client/main.ts, a long command writes to the terminal only through this interface. */
export interface Progress {
  emit(event: ProgressEvent): void;
  /** Resolves when everything shown so far has been written to the terminal. */
  settled(): Promise<void>;
}

/** Shows the closing line of a successful command, with the total time. */
export function finalNote(progress: Progress, text: string): void {
  progress.emit({ kind: "note", text, final: true });
}

/** Shows a sentence that is not about a single node. */
export function note(progress: Progress, text: string): void {
  progress.emit({ kind: "note", text });
}
