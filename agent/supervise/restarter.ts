import { KhwError } from "../../proto/errors.ts";
import type { Clock } from "../os/clock.ts";
import { backoffMillis } from "../../proto/backoff.ts";
import { restartBackoff } from "./backoff.ts";

/** The reason to restart a component. */
export type RestartReason =
  /** The component is running, but not alive. */
  | { readonly kind: "hung"; readonly reason: string; readonly silent: boolean }
  /** The component should be running, but is not. */
  | { readonly kind: "down"; readonly reason: string };

/** Restarts a component repeatedly, with increasing delays, as long as there is a reason to restart it. */
export interface Restarter {
  /** Sets the current reason for a restart; undefined if no restart is needed. */
  want(restartReason: RestartReason | undefined): void;
}

export interface RestarterOptions {
  readonly clock: Clock;
  readonly random: () => number;
  /** Tries to restart the component once. Returns false if the restart was skipped. */
  readonly attempt: (restartReason: RestartReason, count: number) => Promise<boolean>;
  /** Called with the time of the next attempt, in whole milliseconds since the epoch; 0 if no attempt is planned. */
  readonly planned: (at: number) => void;
  readonly failed: (error: unknown) => void;
  readonly signal: AbortSignal;
}

/** The delay before a stopped component is started. The operator who stopped it may be about to start it again. */
const downMillis = 1_000;
/** If there has been no reason to restart for this long, the next restart is the first of a new series. */
const stableMillis = 600_000;
/** The delay after a skipped attempt. */
const againMillis = 5_000;
/** The error codes of an attempt that did not get the restart lease. No restart was started in that case. */
const withoutLease: ReadonlySet<string> = new Set(["BUSY", "CREDENTIAL_INVALID"]);

export function createRestarter({ clock, random, attempt, planned, failed, signal }: RestarterOptions): Restarter {
  let attempts = 0;
  let lastAttempt = 0;
  let notBefore = 0;
  let current: RestartReason | undefined;
  let due = 0;
  let timer: NodeJS.Timeout | undefined;
  let busy = false;

  const plan = (at: number): void => {
    clearTimeout(timer);
    due = at;
    const millis = Math.max(0, at - clock.monotonic());
    // The monotonic clock returns fractions of a millisecond, which the wire format does not allow.
    planned(at === 0 ? 0 : Math.round(clock.now() + millis));
    if (at === 0) return;
    timer = setTimeout(() => void run(), millis);
    timer.unref();
  };
  const tryOnce = async (restartReason: RestartReason): Promise<boolean> => {
    try {
      return await attempt(restartReason, attempts + 1);
    } catch (error) {
      failed(error);
      return !(error instanceof KhwError && withoutLease.has(error.code));
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
    notBefore = now + (begun ? backoffMillis(attempts, restartBackoff, random()) : againMillis);
    // If the reason still applies, the next probe sets it again.
    current = undefined;
    plan(0);
  };
  signal.addEventListener("abort", () => clearTimeout(timer), { once: true });

  return {
    want: (restartReason) => {
      if (busy || signal.aborted) return;
      current = restartReason;
      const now = clock.monotonic();
      if (restartReason === undefined) {
        if (due !== 0) plan(0);
        if (now - lastAttempt >= stableMillis) attempts = 0;
        return;
      }
      if (due === 0) plan(Math.max(now + (restartReason.kind === "down" ? downMillis : 0), notBefore));
    },
  };
}
