import type { OperationError } from "./errors.ts";

/** The requests that a fault affects; by default, all requests. */
export interface FaultMatch {
  /** The HTTP method. */
  readonly method?: string;
  /** A regular expression for the path, which starts at `projects/`. */
  readonly path?: string;
  /**
   * The number of requests that the fault affects. If absent, the fault affects every request until the faults are
   * replaced.
   */
  readonly times?: number;
}

/** A deliberate fault. */
export type Fault = FaultMatch &
  (
    | {
        /** The request is rejected and changes nothing. */
        readonly kind: "error";
        readonly status: number;
        /** Google's keyword for the error, for example `rateLimitExceeded`, `backendError` or `quotaExceeded`. */
        readonly reason: string;
        readonly message?: string;
        /** The value of the Retry-After header. */
        readonly retryAfterSec?: number;
      }
    /** The request is accepted. Its operation ends with this error and changes nothing. */
    | ({ readonly kind: "operation" } & OperationError)
    /** `wait` returns immediately with the unfinished operation, which can also happen with Google's API. */
    | { readonly kind: "earlyWait" }
    /** The operation takes this many milliseconds. */
    | { readonly kind: "slow"; readonly millis: number }
    /** The connection is cut without a response, before or after the request takes effect. */
    | { readonly kind: "cut"; readonly when: "before" | "after" }
  );

type FaultOf<K extends Fault["kind"]> = Extract<Fault, { kind: K }>;

/** The active faults. */
export class Faults {
  #armed: { readonly fault: Fault; left: number }[] = [];

  /** Replaces all faults. */
  set(faults: readonly Fault[]): void {
    this.#armed = faults.map((fault) => ({ fault, left: fault.times ?? Number.POSITIVE_INFINITY }));
  }

  /** Returns the faults that are still active, with their remaining counts. */
  list(): readonly Fault[] {
    return this.#armed
      .filter(({ left }) => left > 0)
      .map(({ fault, left }) => (Number.isFinite(left) ? { ...fault, times: left } : fault));
  }

  /** Returns the first fault of this kind that matches the request, and reduces its remaining count. */
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
