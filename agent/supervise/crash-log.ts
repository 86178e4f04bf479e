import { isReported } from "./backoff.ts";

/** The event to report after a crash or a recovery, if any. */
export type CrashReport =
  | { readonly kind: "none" }
  | { readonly kind: "crashed"; readonly count: number }
  | { readonly kind: "back"; readonly downMillis: number; readonly count: number };

/** A series of crashes in quick succession. */
export interface CrashSeries {
  readonly count: number;
  /** The time of the first crash since the component was last healthy; 0 while the component is healthy. */
  readonly downSince: number;
  readonly lastCrash: number;
  /** Whether a crash has been reported since the last recovery. */
  readonly reported: boolean;
}

/** If there has been no crash for this long, the next crash starts a new series. */
const quietMillis = 120_000;

export const noCrashes: CrashSeries = { count: 0, downSince: 0, lastCrash: 0, reported: false };

/**
 * Adds a crash to the series. Within a series, reports become less and less frequent. If a component crashes every five
 * seconds for a week, about twenty reports result.
 */
export function afterCrash(
  before: CrashSeries,
  now: number,
): { readonly series: CrashSeries; readonly report: CrashReport } {
  const goesOn = before.count > 0 && (before.downSince !== 0 || now - before.lastCrash < quietMillis);
  const count = goesOn ? before.count + 1 : 1;
  const tell = isReported(count);
  const downSince = before.downSince === 0 ? now : before.downSince;
  return {
    series: { count, downSince, lastCrash: now, reported: tell || (goesOn && before.reported) },
    report: tell ? { kind: "crashed", count } : { kind: "none" },
  };
}

/** Records that the component is healthy. The recovery is reported only if a crash was reported. */
export function afterRecovery(
  before: CrashSeries,
  now: number,
): { readonly series: CrashSeries; readonly report: CrashReport } {
  const { downSince, reported, count } = before;
  if (downSince === 0) return { series: before, report: { kind: "none" } };
  return {
    series: { ...before, downSince: 0, reported: false },
    report: reported ? { kind: "back", downMillis: now - downSince, count } : { kind: "none" },
  };
}
