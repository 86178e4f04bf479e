/**
 * Yields the items of a call until the signal aborts. Without this function, a caller that sends nothing more would
 * block the reader forever.
 */
export async function* untilGone<Item>(items: AsyncIterable<Item>, gone: AbortSignal): AsyncGenerator<Item> {
  const { promise: aborted, reject } = Promise.withResolvers<never>();
  aborted.catch(() => undefined);
  const onAbort = (): void => reject(gone.reason);
  gone.addEventListener("abort", onAbort, { once: true });
  if (gone.aborted) onAbort();
  try {
    const iterator = items[Symbol.asyncIterator]();
    for (;;) {
      const { value, done } = await Promise.race([iterator.next(), aborted]);
      if (done === true) return;
      yield value;
    }
  } finally {
    gone.removeEventListener("abort", onAbort);
  }
}
