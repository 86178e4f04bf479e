import { isIP } from "node:net";
import { KhwError } from "../../proto/errors.ts";
import { show } from "../../proto/validate.ts";
import type { Credentials } from "./credentials.ts";
import { type Fields, isFields } from "./fields.ts";
import { googleProxy, networkHint } from "./proxy.ts";
import { readRefusal, computeError, Refusal } from "./refusal.ts";
import { pause } from "../../proto/wait-for.ts";
import { isTransient, pauseMillis, type RetryPolicy } from "./retry.ts";

/** A request to the API. Each change has a `requestId`, so that khw can safely send the request again. */
export interface ApiRequest {
  readonly method: "GET" | "POST" | "PATCH" | "DELETE";
  /** The path, starting with `projects/`. */
  readonly path: string;
  readonly query?: Readonly<Record<string, string>>;
  readonly body?: object;
  /** The purpose of the request, for messages. */
  readonly what: string;
  /** The time limit of a single attempt; 30 seconds by default. */
  readonly timeoutMillis?: number;
}

export interface HttpOptions {
  readonly endpoint: string;
  readonly credentials: Credentials;
  readonly retry: RetryPolicy;
}

export interface Http extends AsyncDisposable {
  /**
   * Returns the response's JSON object.
   * @throws KhwError COMPUTE_FAILED, with a Refusal as the cause if the API answered
   */
  send(request: ApiRequest, signal: AbortSignal): Promise<Fields>;
}

const headers = { accept: "application/json", "user-agent": "khw-client" };
const jsonBody = { "content-type": "application/json" };

/** Opens the API over HTTP, and respects HTTPS_PROXY and NO_PROXY. Connects on the first request. */
export function openHttp({ endpoint, credentials, retry }: HttpOptions): Http {
  const base = parseEndpoint(endpoint);
  let undici: Promise<Undici> | undefined;

  async function once(request: ApiRequest, signal: AbortSignal): Promise<Fields> {
    undici ??= loadUndici();
    const { dispatcher, request: send } = await undici;
    const authorization = await credentials(signal);
    if (authorization["authorization"] !== undefined) requireSecrecy(base);
    const url = new URL(request.path, base);
    for (const [name, value] of Object.entries(request.query ?? {})) url.searchParams.set(name, value);
    const answer = await send(url, {
      dispatcher,
      method: request.method,
      headers: { ...authorization, ...headers, ...(request.body === undefined ? {} : jsonBody) },
      body: request.body === undefined ? null : JSON.stringify(request.body),
      signal: AbortSignal.any([signal, AbortSignal.timeout(request.timeoutMillis ?? 30_000)]),
    });
    const body = parseJson(await answer.body.text());
    if (answer.statusCode >= 300) throw readRefusal(answer.statusCode, body, answer.headers["retry-after"]);
    if (isFields(body)) return body;
    throw new Refusal(answer.statusCode, "the answer is not a JSON object");
  }

  return {
    async send(request, signal) {
      for (let attempt = 0; ; attempt++) {
        try {
          return await once(request, signal);
        } catch (error) {
          signal.throwIfAborted();
          if (!isTransient(error) || attempt + 1 >= retry.tries) throw reported(request, base, error);
          await pause(pauseMillis(attempt + 1, error, retry), signal);
        }
      }
    },
    async [Symbol.asyncDispose]() {
      // If undici could not be loaded, the request has already reported that failure.
      await undici?.then(
        async ({ dispatcher }) => dispatcher.destroy(),
        () => undefined,
      );
    },
  };
}

type Undici = Awaited<ReturnType<typeof loadUndici>>;

async function loadUndici() {
  googleProxy();
  const { EnvHttpProxyAgent, request } = await import("undici");
  return { dispatcher: new EnvHttpProxyAgent(), request };
}

function parseEndpoint(endpoint: string): URL {
  const base = URL.canParse(endpoint) ? new URL(endpoint) : undefined;
  if (base === undefined || !/^https?:$/.test(base.protocol)) {
    throw new KhwError("INVALID_ARGUMENT", `gce.endpoint: ${show(endpoint)} is not an http or https URL`);
  }
  // The URL must end with a slash, because a relative path replaces the text after the last slash.
  if (!base.pathname.endsWith("/")) base.pathname += "/";
  return base;
}

/**
 * Refuses to send a token that others on the network could read. The host needs no check, because it is Google's, or
 * comes from the command line or a trusted khw.yaml. No environment variable changes the host, and redirects are not
 * followed.
 */
function requireSecrecy({ protocol, hostname }: URL): void {
  const loopback =
    hostname === "localhost" || hostname === "[::1]" || (isIP(hostname) === 4 && hostname.startsWith("127."));
  if (protocol === "https:" || loopback) return;
  throw new KhwError("INVALID_ARGUMENT", `gce.endpoint: credentials are not sent to ${hostname} without TLS`, {
    hint: "use an https endpoint, or gce.auth: none",
  });
}

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch (error) {
    if (error instanceof SyntaxError) return undefined;
    throw error;
  }
}

/**
 * Converts the error to khw's format. An error that comes neither from the API nor from the connection is a bug, and is
 * returned unchanged.
 */
function reported({ what, path }: ApiRequest, base: URL, error: unknown): unknown {
  if (error instanceof Refusal) return computeError(what, path, error);
  const code = connectionFault(error);
  if (code === undefined) return error;
  return new KhwError("COMPUTE_FAILED", `${what}: no answer from ${base.host}: ${code}`, {
    hint: networkHint(),
    cause: error,
  });
}

function connectionFault(error: unknown): string | undefined {
  if (!(error instanceof Error) || error instanceof KhwError) return undefined;
  if (error.name === "TimeoutError") return "timed out";
  return "code" in error && typeof error.code === "string" ? `${error.code} ${error.message}`.trim() : undefined;
}
