const firstMillis = 10_000;
const maxMillis = 300_000;
/** Of the time, to either side: components that fail together do not come back in one beat. */
const jitter = 0.2;

/**
 * How long after the last of so many restarts in a row the next one may be: 10 s, 20 s, 40 s and so on, up to five minutes.
 * @param random From 0 to 1.
 */
export function backoffMillis(attempts: number, random: number): number {
  if (attempts === 0) return 0;
  // The exponent is bounded too: a year of attempts must not make it infinite.
  const millis = Math.min(maxMillis, firstMillis * 2 ** Math.min(attempts - 1, 10));
  return Math.round(millis * (1 + jitter * (2 * random - 1)));
}

/** Of what happens again and again, the first time is told, the second, the fourth, the eighth and so on. */
export function isTold(count: number): boolean {
  return count > 0 && Number.isInteger(Math.log2(count));
}
