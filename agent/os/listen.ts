/** What is being waited for: events that happen before `outcome` is awaited count too. Disposing of it ends the listening. */
export interface Listening<T> extends Disposable {
  readonly outcome: Promise<T>;
}

export interface Settle<T> {
  readonly resolve: (value: T) => void;
  readonly reject: (reason: unknown) => void;
}

/**
 * Listens at once, so that an action can be taken whose event must not be missed. The outcome is what `start`'s
 * listeners settle, or the signal's reason when it aborts first. `start` returns how to end each of its listeners.
 */
export function listen<T>(signal: AbortSignal, start: (settle: Settle<T>) => readonly (() => void)[]): Listening<T> {
  const { promise, resolve, reject } = Promise.withResolvers<T>();
  // The one who listens may fail before it comes to await this.
  promise.catch(() => undefined);
  const abort = (): void => reject(signal.reason);
  signal.addEventListener("abort", abort, { once: true });
  const stops = start({ resolve, reject });
  return {
    outcome: promise,
    [Symbol.dispose]: () => {
      signal.removeEventListener("abort", abort);
      for (const stop of stops) stop();
    },
  };
}
