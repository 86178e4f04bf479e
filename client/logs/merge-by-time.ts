export interface MergeOptions<Message> {
  /**
   * Returns a message's time in milliseconds since the epoch. Each source returns its messages in order of this time.
   */
  readonly timeOf: (message: Message) => number;
  /** How long a message waits for a source that might still have an older message. */
  readonly patienceMillis: number;
}

/** A source, and the message that it currently offers, if any. */
interface Lane<Message> {
  head: { readonly message: Message; readonly since: number } | undefined;
  taken: () => void;
  open: boolean;
}

/**
 * Merges the messages of all sources by time. Reads at most one message ahead from each source. A silent source delays
 * the other sources by at most `patienceMillis`. Messages that arrive from that source later are then out of order. A
 * source must not throw. A source that fails must report the failure and end.
 */
export async function* mergeByTime<Message>(
  sources: readonly AsyncIterable<Message>[],
  { timeOf, patienceMillis }: MergeOptions<Message>,
): AsyncGenerator<Message, void> {
  let changed = Promise.withResolvers<void>();
  const lanes: Lane<Message>[] = sources.map(() => ({ head: undefined, taken: () => {}, open: true }));
  let ended = false;

  const pump = async (source: AsyncIterable<Message>, lane: Lane<Message>): Promise<void> => {
    for await (const message of source) {
      const taken = Promise.withResolvers<void>();
      [lane.head, lane.taken] = [{ message, since: performance.now() }, taken.resolve];
      changed.resolve();
      await taken.promise;
      if (ended) break;
    }
  };
  const pumps = sources.map(async (source, index) => {
    const lane = lanes[index];
    if (lane === undefined) return;
    try {
      await pump(source, lane);
    } finally {
      lane.open = false;
      changed.resolve();
    }
  });
  const failure = Promise.all(pumps);
  failure.catch(() => changed.resolve());

  try {
    while (lanes.some(({ open, head }) => open || head !== undefined)) {
      const oldest = oldestOf(lanes, timeOf);
      const silent = lanes.some(({ open, head }) => open && head === undefined);
      const patience = oldest?.head === undefined ? Infinity : oldest.head.since + patienceMillis - performance.now();
      if (oldest?.head !== undefined && (!silent || patience <= 0)) {
        const { message } = oldest.head;
        oldest.head = undefined;
        yield message;
        oldest.taken();
        // Gives the source that was just read a chance to offer its next message before the next message is chosen.
        await Promise.resolve();
        continue;
      }
      await within(patience, changed.promise);
      changed = Promise.withResolvers();
    }
    await failure;
  } finally {
    ended = true;
    for (const { taken } of lanes) taken();
  }
}

function oldestOf<Message>(
  lanes: readonly Lane<Message>[],
  timeOf: (message: Message) => number,
): Lane<Message> | undefined {
  let oldest: Lane<Message> | undefined;
  let time = Infinity;
  for (const lane of lanes) {
    if (lane.head === undefined || timeOf(lane.head.message) >= time) continue;
    [oldest, time] = [lane, timeOf(lane.head.message)];
  }
  return oldest;
}

async function within(millis: number, promise: Promise<void>): Promise<void> {
  if (millis === Infinity) return promise;
  const { promise: passed, resolve } = Promise.withResolvers<void>();
  const timer = setTimeout(resolve, millis);
  await Promise.race([promise, passed]);
  clearTimeout(timer);
}
