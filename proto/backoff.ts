/** How long to wait between failed attempts. */
export interface Backoff {
  /** The delay after the first failure; it doubles with each further failure. */
  readonly firstMillis: number;
  readonly maxMillis: number;
}

/** The random part of a delay, in both directions, so that clients that fail together do not all retry together. */
const jitter = 0.2;

/**
 * Returns the delay after this many failures in a row; 0 without a failure.
 * @param random from 0 to 1
 */
export function backoffMillis(
  failures: number,
  { firstMillis, maxMillis }: Backoff,
  random: number = Math.random(),
): number {
  if (failures <= 0) return 0;
  // The exponent is limited too, so that a year of failures does not make the delay infinite.
  const millis = Math.min(maxMillis, firstMillis * 2 ** Math.min(failures - 1, 30));
  return Math.round(millis * (1 + jitter * (2 * random - 1)));
}
