import { setTimeout } from "node:timers/promises";
import { KhwError } from "./errors.ts";

/** The result of a check: the awaited value, or a description of the current state. */
export type Look<Value> = { readonly reached: Value } | { readonly seen: string; readonly cause?: unknown };

/** The clock of a wait. */
export interface WaitClock {
  /** Milliseconds since some fixed moment; this clock is never set back. */
  monotonic(): number;
  /** Resolves after this time, or rejects with the signal's reason. */
  delay(millis: number, signal: AbortSignal): Promise<void>;
}

export interface WaitForOptions<Value> {
  /** Describes the state that the wait should end, for the time-out's message: "etcd has no quorum". */
  readonly what: string;
  /** Checks once. If the check throws an error, the wait ends with that error. */
  readonly check: (signal: AbortSignal) => Promise<Look<Value>>;
  readonly deadlineMillis: number;
  readonly intervalMillis: number;
  readonly signal: AbortSignal;
  /** Called before each pause, with the description of the current state. */
  readonly progress?: (seen: string) => void;
  /** Returns the time-out error; by default a TIMEOUT with the message. */
  readonly late?: (overdue: Overdue) => unknown;
  readonly clock?: WaitClock;
}

/** A wait that took too long. */
export interface Overdue {
  /** The option `what`, the time, and the last description. */
  readonly message: string;
  readonly seen: string;
  readonly cause?: unknown;
}

/**
 * Checks at an interval until the value is available.
 * @throws the time-out's error; the signal's reason; an error of the check
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

function timeout({ message, cause }: Overdue): KhwError {
  return new KhwError("TIMEOUT", message, { cause });
}

/** Resolves after the time. @throws the signal's reason when it aborts */
export async function pause(millis: number, signal: AbortSignal): Promise<void> {
  try {
    await setTimeout(millis, undefined, { signal });
  } catch (error) {
    signal.throwIfAborted();
    throw error;
  }
}

const wallClock: WaitClock = { monotonic: () => performance.now(), delay: pause };
