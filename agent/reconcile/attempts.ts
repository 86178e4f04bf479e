/** What is remembered of one step's repairs, so that one which does not last is tried ever more seldom. */
export interface Attempts {
  /** When the present drift appeared, in milliseconds since the epoch; 0: none is. */
  readonly since: number;
  /** When it was put right, lately; oldest first. */
  readonly repairs: readonly number[];
  /** When it was last tried; 0: never. */
  readonly lastAttempt: number;
  /** How many tries in a row were of no use: they failed, or what they did was undone again and again. */
  readonly vain: number;
}

export const fresh: Attempts = { since: 0, repairs: [], lastAttempt: 0, vain: 0 };

/** A repair that was undone so often within the window is no longer tried at once. */
const undoneOften = 3;
const windowMillis = 600_000;
const firstDelayMillis = 60_000;
const maxDelayMillis = 1_800_000;

/** The step differs; for how long already makes no difference. */
export function appeared(attempts: Attempts, now: number): Attempts {
  if (attempts.since !== 0) return attempts;
  // What held for so long is not being undone: this is something new.
  if (now - attempts.lastAttempt >= windowMillis) return { ...fresh, since: now };
  const lately = attempts.repairs.filter((time) => now - time < windowMillis);
  const undone = lately.length >= undoneOften || attempts.vain > 0;
  // Once repairs wait, those before tell how often they were undone, however long they have waited.
  const repairs = undone ? attempts.repairs : lately;
  return { ...attempts, since: now, repairs, vain: undone ? attempts.vain + 1 : 0 };
}

/** Somebody else put it right. */
export function vanished(attempts: Attempts): Attempts {
  return { ...attempts, since: 0 };
}

export function repaired({ repairs, vain }: Attempts, now: number): Attempts {
  // More of them would only tell the same.
  return { since: 0, repairs: [...repairs, now].slice(-10), lastAttempt: now, vain };
}

export function failed(attempts: Attempts, now: number): Attempts {
  return { ...attempts, lastAttempt: now, vain: attempts.vain + 1 };
}

/** Since when the next repair is due; 1, 2, 4, ... 30 minutes after the last one where that was of no use. */
export function dueAt({ since, lastAttempt, vain }: Attempts): number {
  if (vain === 0) return since;
  return lastAttempt + Math.min(firstDelayMillis * 2 ** (vain - 1), maxDelayMillis);
}

/** It keeps being undone: a person should look for who does it. */
export function undoneAgain({ repairs, vain }: Attempts): boolean {
  return vain > 0 && repairs.length >= undoneOften;
}
