/** Defines the faults that a testbed server can simulate, and applies them to responses. */
import type { Readable } from "node:stream";
import { setTimeout as sleep } from "node:timers/promises";

import type { Answer } from "./answer.ts";

/** A deliberate fault. */
export type Fault = FaultMatch & FaultEffect;

/** The requests that a fault affects; by default, all requests. */
export interface FaultMatch {
  /** A regular expression for the request's path. */
  readonly path?: string;
  /**
   * The number of requests that the fault affects. If absent, the fault affects every request until the faults are
   * replaced.
   */
  readonly times?: number;
}

/** The effect of a fault on the response. */
export type FaultEffect =
  /** The connection is cut without a response, as if the server were down. */
  | { readonly kind: "drop" }
  /** The connection stays open without a response, for this many milliseconds or indefinitely. */
  | { readonly kind: "delay"; readonly millis?: number }
  /** The server sends a different status, with a body that explains the status. */
  | { readonly kind: "status"; readonly status: number }
  /** The server sends a different body, for example garbage in place of an address, or a wrong digest. */
  | { readonly kind: "body"; readonly body: string }
  /** The response lacks the headers `Metadata-Flavor` and `Server`, like an impostor's response. */
  | { readonly kind: "unsigned" }
  /** The body and the connection are cut after this many bytes. */
  | { readonly kind: "cut"; readonly after: number }
  /** The body stops after this many bytes; the connection stays open. */
  | { readonly kind: "stall"; readonly after: number }
  /** The body has the right length but wrong bytes. */
  | { readonly kind: "corrupt" }
  /** The body is sent at this rate, in bytes per second. */
  | { readonly kind: "throttle"; readonly rate: number };

/** The active faults. */
export interface Faults {
  /** Replaces all faults. */
  set(faults: readonly Fault[]): void;
  /** Returns the first fault that matches a request for this path, and reduces its remaining count. */
  take(path: string): Fault | undefined;
}

/** Creates an empty set of faults. */
export function createFaults(): Faults {
  let armed: { readonly fault: Fault; left: number }[] = [];
  return {
    set: (faults) => {
      armed = faults.map((fault) => ({ fault, left: fault.times ?? Number.POSITIVE_INFINITY }));
    },
    take: (path) => {
      const struck = armed.find(({ fault, left }) => left > 0 && new RegExp(fault.path ?? "").test(path));
      if (struck) struck.left -= 1;
      return struck?.fault;
    },
  };
}

/** Applies a fault that affects the headers of a response or the entire response. */
export function disturbed(answer: Answer, fault: Fault | undefined): Answer {
  switch (fault?.kind) {
    case "status":
      return { ...answer, status: fault.status, body: `${fault.status}, as the test asked\n` };
    case "body":
      return { ...answer, body: fault.body };
    case "unsigned":
      return { ...answer, headers: { "Content-Type": "text/plain" } };
    case "drop":
    case "delay":
    case "cut":
    case "stall":
    case "corrupt":
    case "throttle":
    case undefined:
      return answer;
  }
}

/** Applies a fault that affects the bytes of the body. */
export async function* paced(body: Readable, fault: Fault | undefined): AsyncGenerator<Buffer> {
  let left = fault?.kind === "cut" || fault?.kind === "stall" ? fault.after : Number.POSITIVE_INFINITY;
  for await (const chunk of body as AsyncIterable<Buffer>) {
    if (chunk.length > left) {
      yield chunk.subarray(0, left);
      return;
    }
    left -= chunk.length;
    if (fault?.kind === "corrupt") chunk[0] = (chunk[0] ?? 0) ^ 0xff;
    if (fault?.kind === "throttle") await sleep((chunk.length / fault.rate) * 1000);
    yield chunk;
  }
}
