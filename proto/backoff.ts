/** The delays between failed attempts. */
export interface Backoff {
  /** The delay after the first failure. The delay doubles with each further failure. */
  readonly firstMillis: number;
  readonly maxMillis: number;
}

/**
 * The random part of a delay, which makes the delay longer or shorter. Clients that fail at the same time then retry at
 * different times.
 */
const jitter = 0.2;

/**
 * Returns the delay after this many consecutive failures; 0 if there are no failures.
 * @param random from 0 to 1
 */
export function backoffMillis(
  failures: number,
  { firstMillis, maxMillis }: Backoff,
  random: number = Math.random(),
): number {
  if (failures <= 0) return 0;
  // The exponent is capped too, so that the power stays finite even after a year of failures.
  const millis = Math.min(maxMillis, firstMillis * 2 ** Math.min(failures - 1, 30));
  return Math.round(millis * (1 + jitter * (2 * random - 1)));
}
