import { KhwError } from "../../proto/errors.ts";
import type { Lease } from "./lock.ts";

/** Keeps a lease alive until it is disposed of. A failed keep-alive does not fail the running work. */
export function keepAlive(held: Lease, ttlSeconds: number): AsyncDisposable {
  const timer = setInterval(() => void held.keepAlive().catch(() => undefined), (ttlSeconds / 3) * 1000);
  timer.unref();
  return {
    [Symbol.asyncDispose]: async () => {
      clearInterval(timer);
      // A lease that cannot be released expires by itself.
      await held.release().catch((error: unknown) => {
        if (!(error instanceof KhwError)) throw error;
      });
    },
  };
}
