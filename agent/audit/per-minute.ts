/** Emits the first of several equal items immediately. Then emits the number of further equal items once a minute. */
export interface PerMinute<Item> {
  /** Items with the same key are equal. */
  add(key: string, item: Item): void;
  /** Emits the remaining counts. */
  close(): void;
}

export interface PerMinuteOptions<Item> {
  /** `more` is 0 for the first item, and later the number of equal items in the past minute. */
  readonly emit: (item: Item, more: number) => void;
  /** The item that stands for all keys beyond the limit. */
  readonly others: Item;
  readonly minuteMillis?: number;
}

/**
 * The maximum number of keys that are counted separately. Further keys share one count, which limits the memory use.
 */
const maxKeys = 256;

export function perMinute<Item>({ emit, others, minuteMillis = 60_000 }: PerMinuteOptions<Item>): PerMinute<Item> {
  const counts = new Map<string, { readonly item: Item; more: number }>();
  let timer: NodeJS.Timeout | undefined;

  const report = (): void => {
    timer = undefined;
    for (const [key, counted] of counts) {
      if (counted.more === 0) counts.delete(key);
      else emit(counted.item, counted.more);
      counted.more = 0;
    }
    if (counts.size > 0) start();
  };
  const start = (): void => void (timer ??= setTimeout(report, minuteMillis).unref());

  return {
    add: (key, item) => {
      const known = counts.get(key) ?? (counts.size < maxKeys ? undefined : counts.get(""));
      if (known !== undefined) {
        known.more++;
        return;
      }
      const apart = counts.size < maxKeys;
      const first = apart ? item : others;
      counts.set(apart ? key : "", { item: first, more: 0 });
      emit(first, 0);
      start();
    },
    close: () => {
      clearTimeout(timer);
      report();
      clearTimeout(timer);
    },
  };
}
