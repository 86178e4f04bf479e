import { type Backoff, backoffMillis } from "../../proto/backoff.ts";

/** Records one step's repairs, so that a repair that does not last is tried less often. */
export interface Attempts {
  /** When the current drift appeared, in milliseconds since the epoch; 0 if there is no drift. */
  readonly since: number;
  /** The times of recent repairs, oldest first. */
  readonly repairs: readonly number[];
  /** The time of the last attempt; 0: never. */
  readonly lastAttempt: number;
  /** The number of unsuccessful attempts in a row: the repair failed, or was undone repeatedly. */
  readonly vain: number;
}

export const fresh: Attempts = { since: 0, repairs: [], lastAttempt: 0, vain: 0 };

/** If a step's repair was undone this often within the window, the next repair is delayed. */
const undoneOften = 3;
const windowMillis = 600_000;
const backoff: Backoff = { firstMillis: 60_000, maxMillis: 1_800_000 };
/**
 * The delay has no random part, because the time is computed again at each check. Repairs also use no resource that
 * machines share.
 */
const middle = 0.5;

/** Records that the step differs; changes nothing if the step already differed. */
export function appeared(attempts: Attempts, now: number): Attempts {
  if (attempts.since !== 0) return attempts;
  // A repair that lasted this long was not undone, so this drift is new.
  if (now - attempts.lastAttempt >= windowMillis) return { ...fresh, since: now };
  const lately = attempts.repairs.filter((time) => now - time < windowMillis);
  const undone = lately.length >= undoneOften || attempts.vain > 0;
  // Once repairs are delayed, earlier repairs still count, however long the delays were.
  const repairs = undone ? attempts.repairs : lately;
  return { ...attempts, since: now, repairs, vain: undone ? attempts.vain + 1 : 0 };
}

/** Records that the drift disappeared without a repair by the agent. */
export function vanished(attempts: Attempts): Attempts {
  return { ...attempts, since: 0 };
}

export function repaired({ repairs, vain }: Attempts, now: number): Attempts {
  // The report needs at most ten entries.
  return { since: 0, repairs: [...repairs, now].slice(-10), lastAttempt: now, vain };
}

export function afterFailure(attempts: Attempts, now: number): Attempts {
  return { ...attempts, lastAttempt: now, vain: attempts.vain + 1 };
}

/** Returns when the next repair is due; after an unsuccessful repair, 1, 2, 4, ... 30 minutes later. */
export function dueAt({ since, lastAttempt, vain }: Attempts): number {
  if (vain === 0) return since;
  return lastAttempt + backoffMillis(vain, backoff, middle);
}

/** Whether the repair keeps being undone, so a person should look for the cause. */
export function undoneAgain({ repairs, vain }: Attempts): boolean {
  return vain > 0 && repairs.length >= undoneOften;
}
