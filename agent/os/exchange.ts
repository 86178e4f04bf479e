import { request as requestHttp } from "node:http";
import { request as requestHttps } from "node:https";
import { Readable } from "node:stream";
import { pipeline } from "node:stream/promises";

export interface HttpRequest {
  readonly method: string;
  readonly headers: Readonly<Record<string, string>>;
  readonly body?: AsyncIterable<Uint8Array>;
  readonly signal: AbortSignal;
}

export interface HttpAnswer {
  readonly status: number;
  readonly headers: Readonly<Record<string, string | undefined>>;
  /** The first 64 KiB of the body. */
  readonly body: string;
}

const maxBodyLength = 65_536;
/** A connection without traffic for this time is closed. */
const idleMillis = 60_000;

/** Sends a request with Node's own client, on a new connection, and returns the answer. Rejects as Node does. */
export async function exchange(url: URL, { method, headers, body, signal }: HttpRequest): Promise<HttpAnswer> {
  const request = url.protocol === "https:" ? requestHttps : requestHttp;
  const call = request(url, { method, headers, signal, agent: false, timeout: idleMillis });
  call.once("timeout", () => call.destroy(new Error(`no data for ${idleMillis / 1000} s`)));
  const answered = new Promise<HttpAnswer>((resolve, reject) => {
    call.once("error", reject);
    call.once("response", (response) => {
      let text = "";
      response.setEncoding("utf8");
      response.on("data", (chunk: string) => {
        if (text.length < maxBodyLength) text += chunk;
      });
      response.once("error", reject);
      response.once("end", () => {
        const plain = Object.entries(response.headers).map(([name, value]) => [name, [value].flat().join(", ")]);
        resolve({ status: response.statusCode ?? 0, headers: Object.fromEntries(plain), body: text });
      });
    });
  });
  const sent = body === undefined ? call.end() : pipeline(Readable.from(body), call);
  // A server that refuses can answer before it has read the whole request. Its answer says more than the broken
  // pipe.
  const [answer, sending] = await Promise.allSettled([answered, sent]);
  if (answer.status === "fulfilled") return answer.value;
  throw sending.status === "rejected" ? sending.reason : answer.reason;
}
