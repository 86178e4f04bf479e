import { get, type IncomingMessage } from "node:http";
import { type Backoff, backoffMillis } from "../../proto/backoff.ts";
import { codeOf } from "../../proto/errno.ts";
import { KhwError } from "../../proto/errors.ts";
import type { Clock } from "./clock.ts";

export interface MetadataOptions {
  readonly signal: AbortSignal;
  readonly clock: Clock;
  readonly baseUrl?: string;
  /** The time limit over all attempts. */
  readonly deadlineMillis?: number;
  /** The time limit of one request. */
  readonly attemptMillis?: number;
}

export interface ReadOptions extends MetadataOptions {
  readonly baseUrl: string;
  /** The result of each value's last request, for the time-out's message. */
  readonly seen: Map<string, string>;
  /** Longer answers are refused; 4096 by default. */
  readonly maxBytes?: number;
}

/** A value, or a folder of values as JSON. */
export interface Value {
  readonly text: string;
  /**
   * Identifies this state of the value, so that a caller can wait for the next; empty if the server sends no ETag.
   */
  readonly etag: string;
}

const backoff: Backoff = { firstMillis: 250, maxMillis: 4000 };

/**
 * Reads the value at a path (with its query) below /computeMetadata/v1/, and retries until the signal aborts.
 * Returns undefined if the server has no value of that name.
 * @throws KhwError METADATA_UNAVAILABLE if the answer is not like Google's
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

type Answer =
  | { readonly kind: "value"; readonly value: Value }
  | { readonly kind: "absent" }
  | { readonly kind: "failed"; readonly why: string };

async function request(path: string, name: string, options: ReadOptions): Promise<Answer> {
  const { baseUrl, signal, attemptMillis = 3000, maxBytes = 4096 } = options;
  const attempt = AbortSignal.timeout(attemptMillis);
  try {
    const response = await open(`${baseUrl}/computeMetadata/v1/${path}`, AbortSignal.any([signal, attempt]));
    const text = await readShort(response, maxBytes);
    const { statusCode = 0, headers } = response;
    if (statusCode >= 500 || statusCode === 429) return { kind: "failed", why: `HTTP ${statusCode}` };
    if (headers["metadata-flavor"] !== "Google") {
      throw unavailable(`${baseUrl} is not Google's: its answer to ${name} lacks the header Metadata-Flavor: Google`);
    }
    if (statusCode === 404) return { kind: "absent" };
    if (statusCode !== 200) throw unavailable(`${baseUrl} answered ${name} with HTTP ${statusCode}`);
    return { kind: "value", value: { text, etag: headers["etag"] ?? "" } };
  } catch (error) {
    signal.throwIfAborted();
    if (error instanceof KhwError) throw error;
    if (attempt.aborted) return { kind: "failed", why: `no answer within ${attemptMillis / 1000} s` };
    if (!(error instanceof Error)) throw error;
    return { kind: "failed", why: codeOf(error) || error.message };
  }
}

/** Uses Node's own client: the agent reads metadata at each start, and undici would stay in memory afterwards. */
function open(url: string, signal: AbortSignal): Promise<IncomingMessage> {
  return new Promise((resolve, reject) => {
    // No shared HTTP agent, so that the environment's proxy is not used and no connection stays open.
    get(url, { agent: false, headers: { "metadata-flavor": "Google" }, signal }, resolve).on("error", reject);
  });
}

async function readShort(body: AsyncIterable<Buffer>, maxBytes: number): Promise<string> {
  let text = "";
  for await (const chunk of body) {
    text += chunk.toString("latin1");
    if (text.length > maxBytes) throw unavailable(`a value is longer than ${maxBytes} bytes`);
  }
  return text;
}

export function unavailable(message: string, cause?: unknown): KhwError {
  return new KhwError("METADATA_UNAVAILABLE", `metadata server: ${message}`, {
    hint: "outside Compute Engine, set `machine` in the agent's configuration",
    cause,
  });
}
