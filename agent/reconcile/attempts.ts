import { type Backoff, backoffMillis } from "../../proto/backoff.ts";

/** The repair history of one step. If repairs do not last, further repairs are made less often. */
export interface Attempts {
  /** The time at which the current drift was first seen, in milliseconds since the epoch; 0 if there is no drift. */
  readonly since: number;
  /** The times of recent repairs, oldest first. */
  readonly repairs: readonly number[];
  /** The time of the last repair attempt; 0 if there has been no attempt. */
  readonly lastAttempt: number;
  /** The number of consecutive attempts that failed, or whose result was undone. */
  readonly vain: number;
}

export const fresh: Attempts = { since: 0, repairs: [], lastAttempt: 0, vain: 0 };

/** If a step has been repaired and undone this many times within the window, the next repair is delayed. */
const undoneOften = 3;
const windowMillis = 600_000;
const backoff: Backoff = { firstMillis: 60_000, maxMillis: 1_800_000 };
/**
 * The delay has no jitter, because each check recomputes the due time. Jitter is also unnecessary, because repairs use
 * no resource that machines share.
 */
const middle = 0.5;

/**
 * Records that the step differs from the desired state. Changes nothing if the step already differed at the last check.
 */
export function appeared(attempts: Attempts, now: number): Attempts {
  if (attempts.since !== 0) return attempts;
  // If the last repair lasted this long, it was not undone, so this drift is new.
  if (now - attempts.lastAttempt >= windowMillis) return { ...fresh, since: now };
  const lately = attempts.repairs.filter((time) => now - time < windowMillis);
  const undone = lately.length >= undoneOften || attempts.vain > 0;
  // Once repairs are being delayed, all earlier repairs still count, however long ago they were.
  const repairs = undone ? attempts.repairs : lately;
  return { ...attempts, since: now, repairs, vain: undone ? attempts.vain + 1 : 0 };
}

/** Records that the drift disappeared without a repair by the agent. */
export function vanished(attempts: Attempts): Attempts {
  return { ...attempts, since: 0 };
}

export function repaired({ repairs, vain }: Attempts, now: number): Attempts {
  // Reports show at most ten repairs.
  return { since: 0, repairs: [...repairs, now].slice(-10), lastAttempt: now, vain };
}

export function afterFailure(attempts: Attempts, now: number): Attempts {
  return { ...attempts, lastAttempt: now, vain: attempts.vain + 1 };
}

/** Returns when the next repair is due. After an unsuccessful repair, the wait is 1, 2, 4, ... up to 30 minutes. */
export function dueAt({ since, lastAttempt, vain }: Attempts): number {
  if (vain === 0) return since;
  return lastAttempt + backoffMillis(vain, backoff, middle);
}

/** Whether the repair keeps being undone. A person should then look for the cause. */
export function undoneAgain({ repairs, vain }: Attempts): boolean {
  return vain > 0 && repairs.length >= undoneOften;
}
