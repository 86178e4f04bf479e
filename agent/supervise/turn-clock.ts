/** Longer than the restart of an API server takes. */
const turnMillis = 60_000;
/** A turn that begins later than this would overlap the next turn. */
const beginMillis = 15_000;

/**
 * Returns the time until this controller's turn. Each controller has a minute of the clock in turn, and starts in the
 * first quarter of it or waits for its next one. So no two restarts overlap if the clocks agree.
 */
export function turnAfter(now: number, { index, count }: { readonly index: number; readonly count: number }): number {
  if (count <= 1) return 0;
  const round = turnMillis * count;
  const into = (((now - Math.max(index, 0) * turnMillis) % round) + round) % round;
  return into < beginMillis ? 0 : round - into;
}
