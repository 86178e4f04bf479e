/** Counts of what is refused, by whom and why, written to the log at most once a minute for each pair. */
export interface RefusedPeers {
  /** The first refusal is logged at once; the rest of the minute is one line with their number. */
  add(peer: string, reason: string): void;
  /** Logs what is still counted. */
  close(): void;
}

export interface RefusedPeersOptions {
  readonly log: (line: string) => void;
  readonly minuteMillis?: number;
}

/** Pairs that are counted apart. With more, the rest share one count, so that a crowd of addresses cannot make memory grow. */
const maxPairs = 256;
const others = "other addresses";

export function countRefusedPeers({ log, minuteMillis = 60_000 }: RefusedPeersOptions): RefusedPeers {
  const counts = new Map<string, { readonly peer: string; readonly reason: string; more: number }>();
  let timer: NodeJS.Timeout | undefined;

  const report = (): void => {
    timer = undefined;
    for (const [pair, counted] of counts) {
      if (counted.more === 0) counts.delete(pair);
      else log(`refused ${counted.more} more from ${counted.peer} within a minute: ${counted.reason}`);
      counted.more = 0;
    }
    if (counts.size > 0) start();
  };
  const start = (): void => void (timer ??= setTimeout(report, minuteMillis).unref());

  return {
    add: (peer, reason) => {
      const known = counts.get(`${peer} ${reason}`);
      if (known !== undefined) {
        known.more++;
        return;
      }
      const [who, why] = counts.size < maxPairs ? [peer, reason] : [others, "too many to name"];
      const pair = `${who} ${why}`;
      const shared = counts.get(pair);
      if (shared === undefined) {
        counts.set(pair, { peer: who, reason: why, more: 0 });
        log(`refused a connection from ${who}: ${why}`);
      } else shared.more++;
      start();
    },
    close: () => {
      clearTimeout(timer);
      report();
      clearTimeout(timer);
    },
  };
}
