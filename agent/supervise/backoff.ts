import type { Backoff } from "../../proto/backoff.ts";

/** The delays between restarts of a component: 10 s, 20 s, 40 s and so on, up to five minutes. */
export const restartBackoff: Backoff = { firstMillis: 10_000, maxMillis: 300_000 };

/**
 * Whether to report a repeated event. Only the first, second, fourth and eighth occurrences, and so on, are reported.
 */
export function isReported(count: number): boolean {
  return count > 0 && Number.isInteger(Math.log2(count));
}
