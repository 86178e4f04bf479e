import { setTimeout } from "node:timers/promises";
import { isErrno } from "./io.ts";
import type { Clock } from "./os.ts";

export function createClock(): Clock {
  return {
    now: () => Date.now(),
    delay: async (millis, signal) => {
      try {
        await setTimeout(millis, undefined, { signal });
      } catch (error) {
        throw isErrno(error, "ABORT_ERR") ? signal.reason : error;
      }
    },
  };
}
