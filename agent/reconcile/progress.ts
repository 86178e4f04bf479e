/** Detects whether a run of the reconciler is stuck. */
export interface Progress {
  begun(): void;
  /** Records an action, for example "service/nginx". */
  made(what: string): void;
  ended(): void;
  /** Returns the reason why the run seems stuck; undefined while it makes progress or no run is active. */
  stuck(): string | undefined;
}

/** Longer than any wait during which a repair reports no progress. */
const patienceMillis = 600_000;

/**
 * @param monotonic a clock for durations
 * @param now a clock for messages
 */
export function createProgress(monotonic: () => number, now: () => number): Progress {
  let last: { readonly what: string; readonly time: number; readonly at: number } | undefined;
  const made = (what: string): void => {
    last = { what, time: now(), at: monotonic() };
  };
  return {
    begun: () => made("its start"),
    made,
    ended: () => {
      last = undefined;
    },
    stuck: () => {
      if (last === undefined || monotonic() - last.at < patienceMillis) return undefined;
      return `the reconciler has made no progress since ${new Date(last.time).toISOString()}, after ${last.what}`;
    },
  };
}
