import { KhwError } from "../../proto/errors.ts";
import type { Lease } from "./lock.ts";

/**
 * Keeps a lease alive until the returned object is disposed of. A failed keep-alive does not interrupt the work that
 * needs the lease.
 */
export function keepAlive(held: Lease, ttlSeconds: number): AsyncDisposable {
  const timer = setInterval(() => void held.keepAlive().catch(() => undefined), (ttlSeconds / 3) * 1000);
  timer.unref();
  return {
    [Symbol.asyncDispose]: async () => {
      clearInterval(timer);
      // If the lease cannot be released, it expires by itself.
      await held.release().catch((error: unknown) => {
        if (!(error instanceof KhwError)) throw error;
      });
    },
  };
}
