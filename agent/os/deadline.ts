/** A signal that aborts when the caller's signal aborts or when the time is up. Each case has its own abort reason. */
export interface Deadline extends Disposable {
  readonly signal: AbortSignal;
}

/**
 * The abort reason after disposal. No caller sees this reason, so all deadlines share one error. This saves the cost of
 * a stack trace.
 */
const over = new Error("the work with this deadline has ended");

/**
 * Starts a deadline. Disposal aborts the signal, so that nothing started under the deadline continues. It also removes
 * the deadline's listener from the caller's signal, which may live as long as the process.
 * @param expired returns the abort reason; it is called only when the time is up, so the reason can include the last
 * observed state
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
