import { setTimeout } from "node:timers/promises";
import { KhwError } from "./errors.ts";

/** The result of a check: the value that the caller waits for, or a description of the current state. */
export type Look<Value> = { readonly reached: Value } | { readonly seen: string; readonly cause?: unknown };

/** The clock that measures a wait. */
export interface WaitClock {
  /** Returns the number of milliseconds since a fixed moment. The number never decreases. */
  monotonic(): number;
  /** Resolves after this many milliseconds. If the signal aborts first, rejects with the signal's reason. */
  delay(millis: number, signal: AbortSignal): Promise<void>;
}

export interface WaitForOptions<Value> {
  /**
   * The condition that the caller expects to end, for example "etcd has no quorum". The time-out message starts with
   * this text.
   */
  readonly what: string;
  /** Runs the check once. If the check throws an error, the wait ends with this error. */
  readonly check: (signal: AbortSignal) => Promise<Look<Value>>;
  readonly deadlineMillis: number;
  readonly intervalMillis: number;
  readonly signal: AbortSignal;
  /** A function that is called before each pause, with the description from the last check. */
  readonly progress?: (seen: string) => void;
  /** Returns the error to throw at the deadline. Default: a TIMEOUT error with the time-out message. */
  readonly late?: (overdue: Overdue) => unknown;
  readonly clock?: WaitClock;
}

/** A wait that reached its deadline. */
export interface Overdue {
  /** The time-out message: the option `what`, the duration, and the last description of the state. */
  readonly message: string;
  readonly seen: string;
  readonly cause?: unknown;
}

/**
 * Runs the check at regular intervals until the value is available.
 * @throws the time-out error, the signal's reason, or an error from the check
 */
export async function waitFor<Value>(options: WaitForOptions<Value>): Promise<Value> {
  const { what, check, deadlineMillis, intervalMillis, signal, progress, late = timeout, clock = wallClock } = options;
  const deadline = clock.monotonic() + deadlineMillis;
  for (;;) {
    const look = await check(signal);
    if ("reached" in look) return look.reached;
    const { seen, cause } = look;
    if (clock.monotonic() >= deadline) {
      throw await late({ message: `${what} after ${deadlineMillis / 1000} s: ${seen}`, seen, cause });
    }
    progress?.(seen);
    await clock.delay(intervalMillis, signal);
  }
}

/**
 * Runs the check at regular intervals until it succeeds or the time is over. The caller's check keeps its last result.
 * @throws the signal's reason, or an error from the check
 */
export async function waitAtMost(options: Omit<WaitForOptions<void>, "what" | "late">): Promise<void> {
  const late = new Error("not reached in time");
  try {
    await waitFor<void>({ ...options, what: late.message, late: () => late });
  } catch (thrown) {
    if (thrown !== late) throw thrown;
  }
}

function timeout({ message, cause }: Overdue): KhwError {
  return new KhwError("TIMEOUT", message, { cause });
}

/** Resolves after this many milliseconds. @throws the signal's reason if the signal aborts */
export async function pause(millis: number, signal: AbortSignal): Promise<void> {
  try {
    await setTimeout(millis, undefined, { signal });
  } catch (error) {
    signal.throwIfAborted();
    throw error;
  }
}

const wallClock: WaitClock = { monotonic: () => performance.now(), delay: pause };
