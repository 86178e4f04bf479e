/**
 * Yields the items of all sources in the order in which they arrive. Reads from at most `limit` sources at once, and
 * reads each source one item ahead.
 */
export async function* together<Item>(
  sources: Iterable<() => AsyncGenerator<Item, void>>,
  limit: number,
): AsyncGenerator<Item, void> {
  const waiting = sources[Symbol.iterator]();
  const running = new Map<AsyncGenerator<Item, void>, Promise<Next<Item>>>();
  const ask = (source: AsyncGenerator<Item, void>): void =>
    void running.set(
      source,
      source.next().then((result) => ({ source, result })),
    );
  const begin = (): void => {
    const { value, done } = waiting.next();
    if (done !== true) ask(value());
  };
  try {
    while (running.size < limit) {
      const before = running.size;
      begin();
      if (running.size === before) break;
    }
    while (running.size > 0) {
      const { source, result } = await Promise.race(running.values());
      if (result.done === true) {
        running.delete(source);
        begin();
      } else {
        ask(source);
        yield result.value;
      }
    }
  } finally {
    await Promise.allSettled([...running.keys()].map((source) => source.return()));
  }
}

interface Next<Item> {
  readonly source: AsyncGenerator<Item, void>;
  readonly result: IteratorResult<Item, void>;
}
