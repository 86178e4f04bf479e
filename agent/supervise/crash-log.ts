import { isTold } from "./backoff.ts";

/** The event to report for a component that crashes. */
export type CrashNews =
  | { readonly kind: "none" }
  | { readonly kind: "crashed"; readonly count: number }
  | { readonly kind: "back"; readonly downMillis: number; readonly count: number };

/** A series of crashes that follow one another. */
export interface Episode {
  readonly count: number;
  /** The time of a crash that has not been recovered from; 0 after recovery. */
  readonly downSince: number;
  readonly lastCrash: number;
  /** Whether a crash has been reported since the last recovery. */
  readonly told: boolean;
}

/** After this time without a crash, the next one begins a new series. */
const quietMillis = 120_000;

export const noEpisode: Episode = { count: 0, downSince: 0, lastCrash: 0, told: false };

/**
 * Adds a crash to the series. Reports get rarer in a series: a crash every five seconds for a week makes some
 * twenty lines.
 */
export function afterCrash(before: Episode, now: number): { readonly episode: Episode; readonly news: CrashNews } {
  const goesOn = before.count > 0 && (before.downSince !== 0 || now - before.lastCrash < quietMillis);
  const count = goesOn ? before.count + 1 : 1;
  const tell = isTold(count);
  const downSince = before.downSince === 0 ? now : before.downSince;
  return {
    episode: { count, downSince, lastCrash: now, told: tell || (goesOn && before.told) },
    news: tell ? { kind: "crashed", count } : { kind: "none" },
  };
}

/** Records that the component is healthy. The recovery is reported if its crash was. */
export function afterRecovery(before: Episode, now: number): { readonly episode: Episode; readonly news: CrashNews } {
  const { downSince, told, count } = before;
  if (downSince === 0) return { episode: before, news: { kind: "none" } };
  return {
    episode: { ...before, downSince: 0, told: false },
    news: told ? { kind: "back", downMillis: now - downSince, count } : { kind: "none" },
  };
}
