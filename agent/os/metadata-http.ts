import { get, type IncomingMessage } from "node:http";
import { KhwError } from "../../proto/errors.ts";
import { codeOf } from "./io.ts";
import type { Clock } from "./os.ts";

export interface MetadataOptions {
  readonly signal: AbortSignal;
  readonly clock: Clock;
  readonly baseUrl?: string;
  /** How long to try, over all. */
  readonly deadlineMillis?: number;
  /** How long one request may take. */
  readonly attemptMillis?: number;
}

export interface ReadOptions extends MetadataOptions {
  readonly baseUrl: string;
  /** What each value's last request came to, for the time-out's message. */
  readonly seen: Map<string, string>;
  /** Refused beyond this length; 4096. */
  readonly maxBytes?: number;
}

/** One value, or a folder of them as JSON. */
export interface Value {
  readonly text: string;
  /** Names this state of it, for whoever waits for the next; empty where the server names none. */
  readonly etag: string;
}

const firstPauseMillis = 250;
const longestPauseMillis = 4000;

/**
 * Reads what stands below /computeMetadata/v1/ at the path (with its query), for as long as the signal lets it; undefined when
 * the server has none of that name. @throws KhwError METADATA_UNAVAILABLE when it answers not as Google's does
 */
export async function readValue(path: string, options: ReadOptions): Promise<Value | undefined> {
  const { signal, clock, seen } = options;
  const [name = path] = path.split("?");
  for (let pause = firstPauseMillis; ; pause = Math.min(2 * pause, longestPauseMillis)) {
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
        await clock.delay(pause, signal);
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

/** By Node's own client, since the agent asks at each start: undici, for all that it can, would stay in memory for ever. */
function open(url: string, signal: AbortSignal): Promise<IncomingMessage> {
  return new Promise((resolve, reject) => {
    // An agent of its own, so that no proxy of the environment comes between and no connection stays.
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
    hint: "outside Compute Engine set the identity in the agent's configuration",
    cause,
  });
}
