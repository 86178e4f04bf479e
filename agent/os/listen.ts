/**
 * An event that the caller can await. An event that happens before the caller awaits `outcome` is not lost. Disposal
 * removes the listeners.
 */
export interface Listening<T> extends Disposable {
  readonly outcome: Promise<T>;
}

export interface Settle<T> {
  readonly resolve: (value: T) => void;
  readonly reject: (reason: unknown) => void;
}

/**
 * Starts listening immediately, so that the caller can then trigger the event without missing it. `start` adds
 * listeners that settle the outcome, and returns functions that remove the listeners. If the signal aborts first, the
 * outcome rejects with the signal's reason.
 */
export function listen<T>(signal: AbortSignal, start: (settle: Settle<T>) => readonly (() => void)[]): Listening<T> {
  const { promise, resolve, reject } = Promise.withResolvers<T>();
  // The caller may fail before it awaits this promise.
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
