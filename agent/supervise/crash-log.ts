import { isTold } from "./backoff.ts";

/** What happened to a component that does not stay up. */
export type CrashNews =
  | { readonly kind: "none" }
  | { readonly kind: "crashed"; readonly count: number }
  | { readonly kind: "back"; readonly downMillis: number; readonly count: number };

/** One run of bad luck: crashes that follow one another. */
export interface Episode {
  readonly count: number;
  /** When the crash was that is not mended yet; 0 when it is. */
  readonly downSince: number;
  readonly lastCrash: number;
  /** A crash has been told since its last end was. */
  readonly told: boolean;
}

/** As long without a crash, and the next one is the first of another run. */
const quietMillis = 120_000;

export const noEpisode: Episode = { count: 0, downSince: 0, lastCrash: 0, told: false };

/** Of a run of crashes ever fewer are told, so that a crash every five seconds for a week is some twenty lines. */
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

/** It is well: told when its crash was. */
export function afterRecovery(before: Episode, now: number): { readonly episode: Episode; readonly news: CrashNews } {
  const { downSince, told, count } = before;
  if (downSince === 0) return { episode: before, news: { kind: "none" } };
  return {
    episode: { ...before, downSince: 0, told: false },
    news: told ? { kind: "back", downMillis: now - downSince, count } : { kind: "none" },
  };
}
