import type { OperationError } from "./errors.ts";

/** Which requests a fault strikes: all, unless narrowed. */
export interface FaultMatch {
  /** The HTTP method. */
  readonly method?: string;
  /** A regular expression on the path from `projects/` on. */
  readonly path?: string;
  /** How many requests it strikes; absent: every one until the faults are replaced. */
  readonly times?: number;
}

/** Something that goes wrong, on purpose. */
export type Fault = FaultMatch &
  (
    | {
        /** The request is refused and nothing is done. */
        readonly kind: "error";
        readonly status: number;
        /** Google's reason, e.g. `rateLimitExceeded`, `backendError`, `quotaExceeded`. */
        readonly reason: string;
        readonly message?: string;
        /** Sent as Retry-After. */
        readonly retryAfterSec?: number;
      }
    /** The request is accepted, and its operation ends in this error with nothing changed. */
    | ({ readonly kind: "operation" } & OperationError)
    /** `wait` returns at once with the operation as it is, as Google's may. */
    | { readonly kind: "earlyWait" }
    /** The operation takes so long, in milliseconds. */
    | { readonly kind: "slow"; readonly millis: number }
    /** The connection is cut with no answer, before or after the request was carried out. */
    | { readonly kind: "cut"; readonly when: "before" | "after" }
  );

type FaultOf<K extends Fault["kind"]> = Extract<Fault, { kind: K }>;

/** The faults in force. */
export class Faults {
  #armed: { readonly fault: Fault; left: number }[] = [];

  /** Replaces all faults. */
  set(faults: readonly Fault[]): void {
    this.#armed = faults.map((fault) => ({ fault, left: fault.times ?? Number.POSITIVE_INFINITY }));
  }

  /** The faults that can still strike, with the times they have left. */
  list(): readonly Fault[] {
    return this.#armed
      .filter(({ left }) => left > 0)
      .map(({ fault, left }) => (Number.isFinite(left) ? { ...fault, times: left } : fault));
  }

  /** The first fault of a kind that strikes this request, which uses one of its times up. */
  take<K extends Fault["kind"]>(kind: K, method: string, path: string): FaultOf<K> | undefined {
    for (const armed of this.#armed) {
      const { fault } = armed;
      if (armed.left <= 0 || !isOf(kind, fault) || !strikes(fault, method, path)) continue;
      armed.left -= 1;
      return fault;
    }
    return undefined;
  }
}

function isOf<K extends Fault["kind"]>(kind: K, fault: Fault): fault is FaultOf<K> {
  return fault.kind === kind;
}

function strikes(fault: FaultMatch, method: string, path: string): boolean {
  return (fault.method ?? method) === method && new RegExp(fault.path ?? "").test(path);
}
