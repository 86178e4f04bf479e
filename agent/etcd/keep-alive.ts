import { KhwError } from "../../proto/errors.ts";
import type { HeldKey } from "./lock.ts";

/** Keeps the key until it is disposed of. A keep-alive that fails is no failure of what is under way. */
export function keeping(held: HeldKey, ttlSeconds: number): AsyncDisposable {
  const timer = setInterval(() => void held.keepAlive().catch(() => undefined), (ttlSeconds / 3) * 1000);
  timer.unref();
  return {
    [Symbol.asyncDispose]: async () => {
      clearInterval(timer);
      // What cannot be given back ends by itself.
      await held.release().catch((error: unknown) => {
        if (!(error instanceof KhwError)) throw error;
      });
    },
  };
}
