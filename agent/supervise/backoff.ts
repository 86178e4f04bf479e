const firstMillis = 10_000;
const maxMillis = 300_000;
/**
 * The random part of the delay, in both directions, so that components that fail together do not restart together.
 */
const jitter = 0.2;

/**
 * Returns the delay before the next restart after this many in a row: 10 s, 20 s, 40 s and so on, up to five
 * minutes.
 * @param random from 0 to 1
 */
export function backoffMillis(attempts: number, random: number): number {
  if (attempts === 0) return 0;
  // The exponent is bounded too, so that a year of attempts does not make it infinite.
  const millis = Math.min(maxMillis, firstMillis * 2 ** Math.min(attempts - 1, 10));
  return Math.round(millis * (1 + jitter * (2 * random - 1)));
}

/** Whether a repeated event is reported: the first, second, fourth, eighth time and so on. */
export function isReported(count: number): boolean {
  return count > 0 && Number.isInteger(Math.log2(count));
}
