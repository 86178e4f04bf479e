import { setTimeout } from "node:timers/promises";
import { isErrno } from "../../proto/errno.ts";

export interface Clock {
  /** Returns the milliseconds since the epoch. A person or a time server can set this clock at any time. */
  now(): number;
  /**
   * Returns the milliseconds since the machine's boot (CLOCK_MONOTONIC), for measuring durations. This clock never runs
   * backwards and cannot be set.
   */
  monotonic(): number;
  /** Resolves after this time, or rejects with the signal's reason when the signal aborts. */
  delay(millis: number, signal: AbortSignal): Promise<void>;
}

export function createClock(): Clock {
  return {
    now: () => Date.now(),
    // Reads CLOCK_MONOTONIC, which systemd uses for its monotonic timestamps.
    monotonic: () => Number(process.hrtime.bigint() / 1_000n) / 1_000,
    delay: async (millis, signal) => {
      try {
        await setTimeout(millis, undefined, { signal });
      } catch (error) {
        throw isErrno(error, "ABORT_ERR") ? signal.reason : error;
      }
    },
  };
}
