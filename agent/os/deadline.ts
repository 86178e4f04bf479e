/** A signal that aborts when the caller's signal aborts, or with a separate reason when the time is up. */
export interface Deadline extends Disposable {
  readonly signal: AbortSignal;
}

/**
 * The abort reason after disposal. No caller sees this reason, so one shared error avoids the cost of a stack trace
 * each time.
 */
const over = new Error("the work with this deadline has ended");

/**
 * Starts a deadline. Disposal aborts the signal, so that nothing started under the deadline continues. It also removes
 * the deadline's listener from the caller's signal, which may live as long as the process.
 * @param expired returns the abort reason when the time is up; the reason can therefore include the last observed state
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
