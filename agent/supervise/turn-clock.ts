/** Longer than the restart of an API server takes. */
const turnMillis = 60_000;
/** A turn begun later than this in its time would run into the next one's. */
const beginMillis = 15_000;

/**
 * How long until it is the turn of the controller with this index: by the clock, each has a minute of its own, and begins in
 * its first quarter or waits for the next. So no two begin within one restart's time, as far as their clocks agree.
 */
export function turnAfter(now: number, { index, count }: { readonly index: number; readonly count: number }): number {
  if (count <= 1) return 0;
  const round = turnMillis * count;
  const into = (((now - Math.max(index, 0) * turnMillis) % round) + round) % round;
  return into < beginMillis ? 0 : round - into;
}
