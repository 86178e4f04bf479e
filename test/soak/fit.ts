/** A measured value and its time. */
export interface Point {
  /** Seconds since the start. */
  readonly at: number;
  readonly value: number;
}

/**
 * Returns the growth of a value over the last two thirds of its points, by the best-fit line. A warm-up at the
 * beginning and a single outlier do not count as growth; a slow leak does.
 */
export function growth(points: readonly Point[]): number {
  const end = points.at(-1)?.at ?? 0;
  const late = points.filter(({ at }) => at >= end / 3);
  const [first, last] = [late[0], late.at(-1)];
  if (first === undefined || last === undefined || first === last) throw new Error("too few points to measure growth");
  const [meanAt, meanValue] = [mean(late.map(({ at }) => at)), mean(late.map(({ value }) => value))];
  const covariance = late.reduce((sum, { at, value }) => sum + (at - meanAt) * (value - meanValue), 0);
  const variance = late.reduce((sum, { at }) => sum + (at - meanAt) ** 2, 0);
  return (covariance / variance) * (last.at - first.at);
}

function mean(values: readonly number[]): number {
  return values.reduce((sum, value) => sum + value, 0) / values.length;
}
