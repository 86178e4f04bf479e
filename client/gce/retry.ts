import { setTimeout } from "node:timers/promises";
import { refusedBecause, Refusal } from "./refusal.ts";

/** The number of tries, and the pauses between them. */
export interface RetryPolicy {
  /** Tries in all. */
  readonly tries: number;
  /** The longest first pause in milliseconds; it doubles from try to try, up to `maxMillis`. */
  readonly baseMillis: number;
  readonly maxMillis: number;
}

/** About 25 seconds in all: longer than the API's short overloads, and short enough for a waiting user. */
export const defaultRetry: RetryPolicy = { tries: 8, baseMillis: 250, maxMillis: 8000 };

/**
 * Returns the pause after try number `attempt` (from 0) ended in this error: the pause that Google asks for, within
 * bounds. Otherwise a random time, so that clients whose connections broke together do not return together.
 */
export function pauseMillis(attempt: number, error: unknown, { baseMillis, maxMillis }: RetryPolicy): number {
  const asked = error instanceof Refusal ? error.retryAfterMillis : 0;
  if (asked > 0) return Math.min(asked, 4 * maxMillis);
  return Math.min(maxMillis, baseMillis * 2 ** attempt) * (0.5 + Math.random() / 2);
}

/** @throws the signal's reason if it is aborted */
export async function pause(millis: number, signal: AbortSignal): Promise<void> {
  try {
    await setTimeout(millis, undefined, { signal });
  } catch (error) {
    signal.throwIfAborted();
    throw error;
  }
}

/** Errors of the connection, by Node's and undici's codes, after which the same request may succeed. */
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
 * Whether another try can help: an overloaded API, a resource that another operation has just released, a lost
 * connection.
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
