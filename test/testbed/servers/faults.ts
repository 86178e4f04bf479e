/** What a server of the testbed can be told to do wrong, and what then becomes of its answers. */
import type { Readable } from "node:stream";
import { setTimeout as sleep } from "node:timers/promises";

import type { Answer } from "./answer.ts";

/** Something that goes wrong, on purpose. */
export type Fault = FaultMatch & FaultEffect;

/** Which requests a fault strikes: all, unless narrowed. */
export interface FaultMatch {
  /** A regular expression on the request's path. */
  readonly path?: string;
  /** How many requests it strikes; absent: every one until the faults are replaced. */
  readonly times?: number;
}

/** What a fault does to the answer. */
export type FaultEffect =
  /** The connection is cut without an answer: the server is as good as down. */
  | { readonly kind: "drop" }
  /** The connection is held without an answer, for so many milliseconds or for ever. */
  | { readonly kind: "delay"; readonly millis?: number }
  /** Another status, with a body of words. */
  | { readonly kind: "status"; readonly status: number }
  /** Another body: garbage for an address, a wrong digest. */
  | { readonly kind: "body"; readonly body: string }
  /** The answer lacks its headers `Metadata-Flavor` and `Server`: an impostor's. */
  | { readonly kind: "unsigned" }
  /** The body is cut with its connection after so many bytes. */
  | { readonly kind: "cut"; readonly after: number }
  /** The body stops after so many bytes, the connection stays. */
  | { readonly kind: "stall"; readonly after: number }
  /** The body has the right length and wrong bytes. */
  | { readonly kind: "corrupt" }
  /** The body comes at this pace, in bytes a second. */
  | { readonly kind: "throttle"; readonly rate: number };

/** The faults in force. */
export interface Faults {
  /** Replaces all faults. */
  set(faults: readonly Fault[]): void;
  /** The first fault that strikes a request for this path, which uses one of its times up. */
  take(path: string): Fault | undefined;
}

/** No faults, to begin with. */
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

/** The answer with what a fault does to its head or to all of it. */
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

/** The body's bytes with what a fault does to them. */
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
