/** A measured value and the time of the measurement. */
export interface Point {
  /** Seconds since the start. */
  readonly at: number;
  readonly value: number;
}

/**
 * Returns how much a value grew over the last two thirds of its points, according to the best-fit line. A slow leak
 * counts as growth. A warm-up at the start or a single outlier does not.
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
