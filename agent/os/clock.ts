import { setTimeout } from "node:timers/promises";
import { isErrno } from "./io.ts";
import type { Clock } from "./os.ts";

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
