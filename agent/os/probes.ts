import { Agent as HttpAgent, request as httpRequest } from "node:http";
import type { ClientRequest, IncomingMessage } from "node:http";
import { Agent as HttpsAgent, request as httpsRequest } from "node:https";
import { isIP } from "node:net";
import { deadline } from "./deadline.ts";
import { codeOf } from "./io.ts";
import { findListener } from "./listener.ts";
import { roundTrip, writes } from "./time-writes.ts";
import type { ProbeResult, Probes } from "./os.ts";

const maxBodyBytes = 4096;

type ProbeOptions = Parameters<Probes["http"]>[1];

/** Of the connections that are kept for the next probe. */
interface Kept {
  readonly http: HttpAgent;
  readonly https: HttpsAgent;
}

/** A kept connection ends when nobody has asked for so long. */
const keptMillis = 60_000;

export function createProbes(): Probes {
  const options = { keepAlive: true, timeout: keptMillis, maxFreeSockets: 1 };
  const kept = { http: new HttpAgent(options), https: new HttpsAgent(options) };
  return { http: (url, options) => probe(url, options, kept), listener: findListener, writes, roundTrip };
}

async function probe(url: string, options: ProbeOptions, kept: Kept): Promise<ProbeResult> {
  const { signal, timeoutMillis, keepAlive } = options;
  signal.throwIfAborted();
  using timeout = deadline(signal, timeoutMillis, () => late);
  const begin = (agents?: Kept): ClientRequest => open(new URL(url), { ...options, signal: timeout.signal }, agents);
  try {
    if (keepAlive !== true) return await answer(begin());
    const request = begin(kept);
    const released = new Promise((resolve) => request.once("close", resolve));
    const result = await answer(request).catch((error: unknown) => {
      // The server had ended the kept connection meanwhile, and did not see the request.
      if (!request.reusedSocket || timeout.signal.aborted) throw error;
      return answer(begin());
    });
    // What has not ended ends with the deadline: a connection that is kept is to be back in its place by then.
    await released;
    return result;
  } catch (error) {
    signal.throwIfAborted();
    if (!(error instanceof Error)) throw error;
    if (timeout.signal.aborted) return { status: 0, body: `no answer within ${timeoutMillis / 1000} s`, silent: true };
    return { status: 0, body: error.message || codeOf(error) };
  }
}

const late = new Error("no answer in time");

function open(url: URL, options: ProbeOptions, kept: Kept | undefined): ClientRequest {
  const { signal, host, caPem, certPem, keyPem } = options;
  const headers = host === undefined ? {} : { host };
  if (url.protocol !== "https:") return httpRequest(url, { signal, headers, agent: kept?.http ?? false });
  return httpsRequest(url, {
    signal,
    headers,
    agent: kept?.https ?? false,
    // Otherwise Node takes the name to verify from the Host header.
    servername: isIP(url.hostname) === 0 ? url.hostname : "",
    rejectUnauthorized: caPem !== undefined,
    minVersion: "TLSv1.2",
    ...(caPem !== undefined && { ca: caPem }),
    ...(certPem !== undefined && { cert: certPem }),
    ...(keyPem !== undefined && { key: keyPem }),
  });
}

async function answer(request: ClientRequest): Promise<ProbeResult> {
  const response = await new Promise<IncomingMessage>((resolve, reject) => {
    request.once("response", resolve).once("error", reject).end();
  });
  const chunks: Buffer[] = [];
  let received = 0;
  for await (const chunk of response as AsyncIterable<Buffer>) {
    chunks.push(chunk);
    received += chunk.length;
    if (received >= maxBodyBytes) break;
  }
  const body = Buffer.concat(chunks).subarray(0, maxBodyBytes).toString("utf8");
  return { status: response.statusCode ?? 0, body };
}
