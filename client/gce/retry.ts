import { type Backoff, backoffMillis } from "../../proto/backoff.ts";
import { refusedBecause, Refusal } from "./refusal.ts";

/** The number of attempts, and the pauses between them. */
export interface RetryPolicy extends Backoff {
  /** The total number of attempts. */
  readonly tries: number;
}

/**
 * All pauses together last about 25 seconds. A short API overload passes in this time, and no user waits too long.
 */
export const defaultRetry: RetryPolicy = { tries: 8, firstMillis: 250, maxMillis: 8000 };

/**
 * Returns the pause after this many failures; `error` is the last failure. If Google requests a pause, that pause is
 * used, within limits.
 */
export function pauseMillis(failures: number, error: unknown, policy: RetryPolicy): number {
  const asked = error instanceof Refusal ? error.retryAfterMillis : 0;
  return asked > 0 ? Math.min(asked, 4 * policy.maxMillis) : backoffMillis(failures, policy);
}

/** Error codes of Node.js and undici for connection errors after which the same request may succeed. */
const transientCodes = new Set([
  "ECONNREFUSED",
  "ECONNRESET",
  "EHOSTUNREACH",
  "ENETUNREACH",
  "EAI_AGAIN",
  "EPIPE",
  "ETIMEDOUT",
  "UND_ERR_BODY_TIMEOUT",
  "UND_ERR_CONNECT_TIMEOUT",
  "UND_ERR_HEADERS_TIMEOUT",
  "UND_ERR_SOCKET",
]);

/**
 * Whether another attempt may succeed, for example after an API overload or a lost connection, or because another
 * operation has just released the resource.
 */
export function isTransient(error: unknown): boolean {
  if (error instanceof Refusal) {
    return (
      [429, 500, 502, 503].includes(error.status) ||
      refusedBecause(error, "rateLimit") ||
      refusedBecause(error, "notReady")
    );
  }
  if (!(error instanceof Error)) return false;
  return error.name === "TimeoutError" || ("code" in error && transientCodes.has(String(error.code)));
}
