/** A signal that aborts with the caller's signal, or after a time with its own reason. */
export interface Deadline extends Disposable {
  readonly signal: AbortSignal;
}

/**
 * The abort reason after disposal. Nobody sees the reason, so one shared error avoids the cost of a new stack each
 * time.
 */
const over = new Error("the work with this deadline has ended");

/**
 * Starts a deadline. Disposal also aborts the signal, so that nothing that started under the deadline continues. It
 * also removes the deadline's listener from the caller's signal, which may live as long as the process.
 * @param expired makes the abort reason when the time is up, so that it can include the last state seen
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
