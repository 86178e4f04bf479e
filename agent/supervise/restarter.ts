import { KhwError } from "../../proto/errors.ts";
import type { Clock } from "../os/os.ts";
import { backoffMillis } from "./backoff.ts";

/** Why a component is to be restarted. */
export type Need =
  /** It runs, and does not live. */
  | { readonly kind: "hung"; readonly reason: string; readonly silent: boolean }
  /** It does not run, and shall. */
  | { readonly kind: "down"; readonly reason: string };

/** Restarts one component for as long as there is a need, ever less often. */
export interface Mender {
  /** Tells what is needed now; undefined: nothing. */
  need(need: Need | undefined): void;
}

export interface MenderOptions {
  readonly clock: Clock;
  readonly random: () => number;
  /** Tries once; false when it was not begun, since somebody else has the machine or the turn. */
  readonly attempt: (need: Need, count: number) => Promise<boolean>;
  /** When the next attempt is due, in whole milliseconds since the epoch; 0: none is. */
  readonly planned: (at: number) => void;
  readonly failed: (error: unknown) => void;
  readonly signal: AbortSignal;
}

/** What does not run may be about to be started by whoever stopped it. */
const downMillis = 1_000;
/** After this long without a need, the next one is the first again. */
const stableMillis = 600_000;
/** When it was not begun. */
const againMillis = 5_000;

export function createMender({ clock, random, attempt, planned, failed, signal }: MenderOptions): Mender {
  let attempts = 0;
  let lastAttempt = 0;
  let notBefore = 0;
  let current: Need | undefined;
  let due = 0;
  let timer: NodeJS.Timeout | undefined;
  let busy = false;

  const plan = (at: number): void => {
    clearTimeout(timer);
    due = at;
    const millis = Math.max(0, at - clock.monotonic());
    // The monotonic clock has fractions, which a time on the wire cannot have.
    planned(at === 0 ? 0 : Math.round(clock.now() + millis));
    if (at === 0) return;
    timer = setTimeout(() => void run(), millis);
    timer.unref();
  };
  const tryOnce = async (need: Need): Promise<boolean> => {
    try {
      return await attempt(need, attempts + 1);
    } catch (error) {
      failed(error);
      return !(error instanceof KhwError && error.code === "BUSY");
    }
  };
  const run = async (): Promise<void> => {
    if (busy || current === undefined || signal.aborted) return;
    busy = true;
    const begun = await tryOnce(current);
    busy = false;
    const now = clock.monotonic();
    if (begun) {
      attempts += 1;
      lastAttempt = now;
    }
    notBefore = now + (begun ? backoffMillis(attempts, random()) : againMillis);
    // Whether there still is a need is told anew by whoever looks.
    current = undefined;
    plan(0);
  };
  signal.addEventListener("abort", () => clearTimeout(timer), { once: true });

  return {
    need: (need) => {
      if (busy || signal.aborted) return;
      current = need;
      const now = clock.monotonic();
      if (need === undefined) {
        if (due !== 0) plan(0);
        if (now - lastAttempt >= stableMillis) attempts = 0;
        return;
      }
      if (due === 0) plan(Math.max(now + (need.kind === "down" ? downMillis : 0), notBefore));
    },
  };
}
