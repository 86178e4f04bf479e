import { type Agent as HttpAgent, type ClientRequest, type IncomingHttpHeaders, type IncomingMessage } from "node:http";
import { request as requestHttp } from "node:http";
import { type Agent as HttpsAgent, request as requestHttps, type RequestOptions } from "node:https";
import { Readable } from "node:stream";
import { pipeline } from "node:stream/promises";

export interface HttpRequest {
  readonly method?: "GET" | "POST" | "PUT";
  readonly headers?: Readonly<Record<string, string>>;
  readonly signal: AbortSignal;
  /** Used only for https. */
  readonly tls?: Pick<RequestOptions, "ca" | "cert" | "key" | "minVersion" | "rejectUnauthorized" | "servername">;
  /** The HTTP agents that keep connections open for later requests. By default, each request opens a new connection. */
  readonly kept?: { readonly http: HttpAgent; readonly https: HttpsAgent } | undefined;
  /** The time after which a connection without traffic is closed. */
  readonly idleMillis?: number;
}

export interface HttpExchange {
  readonly body?: string | AsyncIterable<Uint8Array>;
  /** The maximum number of body bytes to read; 64 KiB by default. */
  readonly maxBytes?: number;
}

export interface HttpAnswer {
  readonly status: number;
  readonly headers: IncomingHttpHeaders;
  /** The first bytes of the body, at most `maxBytes`. */
  readonly body: Buffer;
  /** Whether the body is longer than `maxBytes`. */
  readonly truncated: boolean;
}

/**
 * Sends a request and returns the response. Rejects with Node's own errors. Uses Node's built-in client, because undici
 * would stay in memory. Ignores proxy settings in the environment.
 */
export function exchange(url: URL, { body, maxBytes, ...request }: HttpRequest & HttpExchange): Promise<HttpAnswer> {
  return readAnswer(openRequest(url, request), {
    ...(body !== undefined && { body }),
    ...(maxBytes !== undefined && { maxBytes }),
  });
}

/**
 * Opens a request without sending it, for callers that need the request's connection. `readAnswer` sends the request.
 */
export function openRequest(url: URL, { tls, kept, idleMillis, ...options }: HttpRequest): ClientRequest {
  const call =
    url.protocol === "https:"
      ? requestHttps(url, { ...options, ...tls, agent: kept?.https ?? false, timeout: idleMillis })
      : requestHttp(url, { ...options, agent: kept?.http ?? false, timeout: idleMillis });
  if (idleMillis !== undefined) {
    call.once("timeout", () => call.destroy(new Error(`no data for ${idleMillis / 1000} s`)));
  }
  return call;
}

/** Sends a request that `openRequest` has opened, and reads the response up to the maximum size. */
export async function readAnswer(
  call: ClientRequest,
  { body, maxBytes = 65_536 }: HttpExchange = {},
): Promise<HttpAnswer> {
  const answered = receive(call, maxBytes);
  const sent = typeof body === "object" ? pipeline(Readable.from(body), call) : call.end(body);
  // A server that refuses a request may answer before it has read the whole request. The server's response is more
  // useful than the resulting EPIPE error.
  const [answer, sending] = await Promise.allSettled([answered, sent]);
  if (answer.status === "fulfilled") return answer.value;
  throw sending.status === "rejected" ? sending.reason : answer.reason;
}

async function receive(call: ClientRequest, maxBytes: number): Promise<HttpAnswer> {
  const response = await new Promise<IncomingMessage>((resolve, reject) => {
    call.once("response", resolve).once("error", reject);
  });
  const chunks: Buffer[] = [];
  let received = 0;
  // Leaving the loop closes the connection.
  for await (const chunk of response as AsyncIterable<Buffer>) {
    chunks.push(chunk);
    received += chunk.length;
    if (received > maxBytes) break;
  }
  return {
    status: response.statusCode ?? 0,
    headers: response.headers,
    body: Buffer.concat(chunks).subarray(0, maxBytes),
    truncated: received > maxBytes,
  };
}
