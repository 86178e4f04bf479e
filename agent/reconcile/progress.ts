/** Detects whether a reconciler run is stuck. */
export interface Progress {
  begun(): void;
  /** Records completed work, for example the step "service/nginx". */
  made(what: string): void;
  ended(): void;
  /** Returns why the run seems to be stuck; undefined while the run is making progress or if no run is active. */
  stuck(): string | undefined;
}

/** No repair waits longer than this limit without reporting progress. */
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
