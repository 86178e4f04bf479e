import { setTimeout } from "node:timers/promises";
import { isErrno } from "../../proto/errno.ts";

export interface Clock {
  /** Milliseconds since the epoch. This clock can be changed at any time, by a person or a time server. */
  now(): number;
  /**
   * Milliseconds since the machine's boot (CLOCK_MONOTONIC), for durations. This clock only runs forward and cannot
   * be set.
   */
  monotonic(): number;
  /** Resolves after this time, or rejects with the signal's reason. */
  delay(millis: number, signal: AbortSignal): Promise<void>;
}

export function createClock(): Clock {
  return {
    now: () => Date.now(),
    // CLOCK_MONOTONIC, the clock of systemd's monotonic timestamps.
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
