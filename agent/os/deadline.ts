/** A signal that aborts with the caller's, or, after a time, with a reason of its own. */
export interface Deadline extends Disposable {
  readonly signal: AbortSignal;
}

/** Nobody is left to see it: one for all spares an exception with its stack each time. */
const over = new Error("what this was the deadline of is over");

/**
 * Disposing of it aborts the signal too, so that nothing which was begun under it goes on; and it leaves nothing at the
 * caller's signal, which may live as long as the process.
 * @param expired makes the reason when the time is up, so that it can tell what was last seen.
 */
export function deadline(signal: AbortSignal, millis: number, expired: () => unknown): Deadline {
  const controller = new AbortController();
  const timer = setTimeout(() => controller.abort(expired()), millis);
  const abort = (): void => controller.abort(signal.reason);
  if (signal.aborted) abort();
  else signal.addEventListener("abort", abort, { once: true });
  return {
    signal: controller.signal,
    [Symbol.dispose]: () => {
      clearTimeout(timer);
      signal.removeEventListener("abort", abort);
      controller.abort(over);
    },
  };
}
