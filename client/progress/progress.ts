import type { KhwError } from "../../proto/errors.ts";
import type { Event } from "../../proto/gen/khw/agent/v1/agent.ts";
import type { StepEvent } from "../../proto/step.ts";

/** The events of a long command. Every display is made of these alone. */
export type ProgressEvent =
  /** A sentence that is about no single node. A final one ends a command that succeeded; the total time is shown with it. */
  | { readonly kind: "note"; readonly text: string; readonly final?: true }
  /** Work begins on these tracks at once: node names, and "load balancer". */
  | { readonly kind: "begin"; readonly tracks: readonly string[] }
  /** The number of the track's steps. An agent's own event reports it for a node. */
  | { readonly kind: "steps"; readonly track: string; readonly total: number }
  /** An agent's own event. */
  | { readonly kind: "node"; readonly node: string; readonly event: Event }
  /** A step of the load balancer. */
  | { readonly kind: "loadBalancer"; readonly event: StepEvent }
  /** A part of a track's work that the client itself does. */
  | { readonly kind: "step"; readonly track: string; readonly event: StepEvent }
  /** A track has ended; without an error it succeeded. The text replaces the usual sentence about its success. */
  | {
      readonly kind: "end";
      readonly track: string;
      readonly changed: number;
      readonly error?: KhwError | undefined;
      readonly text?: string;
    }
  /** The result of a check. */
  | { readonly kind: "check"; readonly title: string; readonly error?: KhwError | undefined };

/** A command's display, and the signal that its user interrupts it with. */
export interface ProgressOptions {
  readonly progress: Progress;
  /** Aborted by Ctrl-C. */
  readonly signal: AbortSignal;
}

export const loadBalancerTrack = "load balancer";

/** Shows progress. Beside client/main.ts, a long command writes to the terminal only through this. */
export interface Progress {
  emit(event: ProgressEvent): void;
  /** Resolves when the terminal has everything shown so far. */
  settled(): Promise<void>;
}

/** Shows the last sentence of a command that succeeded, with the total time. */
export function finalNote(progress: Progress, text: string): void {
  progress.emit({ kind: "note", text, final: true });
}

/** Shows a sentence that is about no single node. */
export function note(progress: Progress, text: string): void {
  progress.emit({ kind: "note", text });
}
