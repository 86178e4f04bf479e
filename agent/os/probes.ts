import { request as httpRequest } from "node:http";
import type { ClientRequest, IncomingMessage } from "node:http";
import { request as httpsRequest } from "node:https";
import { isIP } from "node:net";
import { codeOf } from "./io.ts";
import { findListener } from "./listener.ts";
import type { ProbeResult, Probes } from "./os.ts";

const maxBodyBytes = 4096;

type ProbeOptions = Parameters<Probes["http"]>[1];

export function createProbes(): Probes {
  return { http: probe, listener: findListener };
}

async function probe(url: string, options: ProbeOptions): Promise<ProbeResult> {
  const { signal, timeoutMillis } = options;
  signal.throwIfAborted();
  const timeout = AbortSignal.timeout(timeoutMillis);
  try {
    return await answer(open(new URL(url), options, AbortSignal.any([signal, timeout])));
  } catch (error) {
    signal.throwIfAborted();
    if (!(error instanceof Error)) throw error;
    if (timeout.aborted) return { status: 0, body: `no answer within ${timeoutMillis / 1000} s` };
    return { status: 0, body: error.message || codeOf(error) };
  }
}

function open(url: URL, options: ProbeOptions, signal: AbortSignal): ClientRequest {
  const { host, caPem, certPem, keyPem } = options;
  const common = { signal, agent: false, headers: host === undefined ? {} : { host } };
  if (url.protocol !== "https:") return httpRequest(url, common);
  return httpsRequest(url, {
    ...common,
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
