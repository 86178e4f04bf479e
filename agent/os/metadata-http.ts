import { type Backoff, backoffMillis } from "../../proto/backoff.ts";
import { codeOf } from "../../proto/errno.ts";
import { KhwError } from "../../proto/errors.ts";
import { exchange } from "./exchange.ts";
import type { Clock } from "./clock.ts";

export interface MetadataOptions {
  readonly signal: AbortSignal;
  readonly clock: Clock;
  readonly baseUrl?: string;
  /** The time limit for all attempts together. */
  readonly deadlineMillis?: number;
  /** The time limit for one request. */
  readonly attemptMillis?: number;
}

export interface ReadOptions extends MetadataOptions {
  readonly baseUrl: string;
  /** The last failure for each value. The timeout message includes these failures. */
  readonly seen: Map<string, string>;
  /** The maximum size of a response; 4096 by default. Longer responses are rejected. */
  readonly maxBytes?: number;
}

/** A value, or a directory of values as JSON. */
export interface Value {
  readonly text: string;
  /**
   * Identifies this version of the value, so that a caller can wait for the next version; empty if the server sends no
   * ETag.
   */
  readonly etag: string;
}

const backoff: Backoff = { firstMillis: 250, maxMillis: 4000 };

/**
 * Reads the value at a path (including its query) below /computeMetadata/v1/. Retries until the signal aborts. Returns
 * undefined if the server has no such value.
 * @throws KhwError METADATA_UNAVAILABLE if the response does not look like one from Google's metadata server
 */
export async function readValue(path: string, options: ReadOptions): Promise<Value | undefined> {
  const { signal, clock, seen } = options;
  const [name = path] = path.split("?");
  for (let failures = 1; ; failures++) {
    const answer = await request(path, name, options);
    switch (answer.kind) {
      case "value":
        seen.delete(name);
        return answer.value;
      case "absent":
        seen.delete(name);
        return undefined;
      case "failed":
        seen.set(name, answer.why);
        await clock.delay(backoffMillis(failures, backoff), signal);
    }
  }
}

type MetadataAnswer =
  | { readonly kind: "value"; readonly value: Value }
  | { readonly kind: "absent" }
  | { readonly kind: "failed"; readonly why: string };

async function request(path: string, name: string, options: ReadOptions): Promise<MetadataAnswer> {
  const { baseUrl, signal, attemptMillis = 3000, maxBytes = 4096 } = options;
  const attempt = AbortSignal.timeout(attemptMillis);
  try {
    const { status, headers, body, truncated } = await exchange(new URL(`${baseUrl}/computeMetadata/v1/${path}`), {
      headers: { "metadata-flavor": "Google" },
      maxBytes,
      signal: AbortSignal.any([signal, attempt]),
    });
    if (truncated) throw metadataUnavailable(`a value is longer than ${maxBytes} bytes`);
    if (status >= 500 || status === 429) return { kind: "failed", why: `HTTP ${status}` };
    if (headers["metadata-flavor"] !== "Google") {
      throw metadataUnavailable(
        `${baseUrl} is not Google's: its response to ${name} lacks the header Metadata-Flavor: Google`,
      );
    }
    if (status === 404) return { kind: "absent" };
    if (status !== 200) throw metadataUnavailable(`${baseUrl} answered ${name} with HTTP ${status}`);
    return { kind: "value", value: { text: body.toString("latin1"), etag: headers.etag ?? "" } };
  } catch (error) {
    signal.throwIfAborted();
    if (error instanceof KhwError) throw error;
    if (attempt.aborted) return { kind: "failed", why: `no answer within ${attemptMillis / 1000} s` };
    if (!(error instanceof Error)) throw error;
    return { kind: "failed", why: codeOf(error) || error.message };
  }
}

export function metadataUnavailable(message: string, cause?: unknown): KhwError {
  return new KhwError("METADATA_UNAVAILABLE", `metadata server: ${message}`, {
    hint: "outside Compute Engine, set `machine` in the agent's configuration",
    cause,
  });
}
