import type { KhwError } from "../../proto/errors.ts";
import type { Event } from "../../proto/gen/khw/agent/v1/agent.ts";
import type { StepEvent } from "../../proto/step.ts";

/** What a long command tells of itself as it goes; every way of showing it is made of these alone. */
export type ProgressEvent =
  /** Something that concerns no one node, in a sentence. */
  | { readonly kind: "note"; readonly text: string }
  /** Work begins on these at once: node names, and "load balancer". */
  | { readonly kind: "begin"; readonly tracks: readonly string[] }
  /** An agent's own event. */
  | { readonly kind: "node"; readonly node: string; readonly event: Event }
  /** A step of the load balancer. */
  | { readonly kind: "loadBalancer"; readonly event: StepEvent }
  /** A part of a track's work that the client itself does. */
  | { readonly kind: "step"; readonly track: string; readonly event: StepEvent }
  /** One of the tracks is done; without an error it succeeded. */
  | { readonly kind: "end"; readonly track: string; readonly changed: number; readonly error?: KhwError | undefined }
  /** One line of the verification. */
  | { readonly kind: "check"; readonly title: string; readonly error?: KhwError | undefined };

export const loadBalancerTrack = "load balancer";

/** Shows progress; the only thing besides client/main.ts that a long command writes with. */
export interface Progress {
  emit(event: ProgressEvent): void;
  /** Resolves when everything shown so far stands on the terminal. */
  settled(): Promise<void>;
}
