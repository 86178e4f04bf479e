/** Whether a run of the reconciler gets anywhere. */
export interface Progress {
  begun(): void;
  /** Something was done, for example "service/nginx". */
  made(what: string): void;
  ended(): void;
  /** Why it seems to hang; undefined while it does not run, or gets on. */
  stuck(): string | undefined;
}

/** Longer than anything that a repair waits for without a word. */
const patienceMillis = 600_000;

/** @param monotonic Tells durations; @param now tells the time, for people. */
export function createProgress(monotonic: () => number, now: () => number): Progress {
  let last: { readonly what: string; readonly time: number; readonly at: number } | undefined;
  const made = (what: string): void => {
    last = { what, time: now(), at: monotonic() };
  };
  return {
    begun: () => made("its begin"),
    made,
    ended: () => {
      last = undefined;
    },
    stuck: () => {
      if (last === undefined || monotonic() - last.at < patienceMillis) return undefined;
      return `the reconciler has got no further than ${last.what} since ${new Date(last.time).toISOString()}`;
    },
  };
}
