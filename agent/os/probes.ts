import { type ClientRequest, Agent as HttpAgent } from "node:http";
import { Agent as HttpsAgent } from "node:https";
import { isIP, type Socket } from "node:net";
import { TLSSocket } from "node:tls";
import { deadline } from "./deadline.ts";
import { type HttpRequest, openRequest, readAnswer } from "./exchange.ts";
import { tryConnection } from "./try-connection.ts";
import { failureOf, type ProbeFailure } from "./failure.ts";
import { findListeners, type ListeningProcess, waitingConnections } from "./listener.ts";
import { roundTrip, writes } from "./time-writes.ts";
import type { Clock } from "./clock.ts";
import { readSelf } from "./self.ts";
import { askCertificate, certificateOf } from "./served-certificate.ts";
import type { SelfFacts } from "./self.ts";
import type { ServedCertificate } from "./served-certificate.ts";
import { codeOf } from "../../proto/errno.ts";

export interface ProbeResult {
  /** The HTTP status; 0 if there was no response. */
  readonly status: number;
  /** The first 4 KiB of the response, or the reason why there was no response. */
  readonly body: string;
  /** Why there was no response. Absent if the reason is unknown; the missing response then proves nothing. */
  readonly failure?: ProbeFailure;
  /** The server's certificate, if it failed verification. */
  readonly certificate?: ServedCertificate;
}

/** Measures and observes the machine and its network. In `http`, a failure to connect is a result, not an error. */
export interface Probes {
  /**
   * Sends a GET request. Without `caPem`, the server's certificate is not verified. `host` replaces the Host header.
   */
  http(
    url: string,
    options: {
      readonly signal: AbortSignal;
      readonly timeoutMillis: number;
      readonly host?: string;
      readonly caPem?: string;
      readonly certPem?: string;
      readonly keyPem?: string;
      /** Whether to keep the connection open, because the next request follows soon. */
      readonly keepAlive?: boolean;
    },
  ): Promise<ProbeResult>;
  /**
   * Makes small writes that are synced in the same way as etcd's log (fdatasync). Returns how many milliseconds each
   * write takes to reach the disk. The folder need not exist yet. Leaves no files behind.
   */
  writes(folder: string, options: { readonly count: number; readonly signal: AbortSignal }): Promise<number[]>;
  /**
   * Returns how many milliseconds a host takes to accept or refuse a TCP connection; undefined if the host does neither
   * in time.
   */
  roundTrip(
    host: string,
    options: { readonly port: number; readonly timeoutMillis: number; readonly signal: AbortSignal },
  ): Promise<number | undefined>;
  /**
   * Opens a TCP connection to an IP address, and closes it again. Returns an empty string if the connection was
   * accepted, otherwise the system's error code, for example ETIMEDOUT.
   */
  connect(
    address: string,
    options: { readonly port: number; readonly timeoutMillis: number; readonly signal: AbortSignal },
  ): Promise<string>;
  /**
   * Returns how many connections are waiting to be accepted on a TCP port, on any address, according to the kernel's
   * tables; undefined if no process is listening.
   */
  waiting(port: number): Promise<number | undefined>;
  /** Measures the agent's own condition. */
  self(signal: AbortSignal): Promise<SelfFacts>;
  /**
   * Returns the process that is listening on each of these TCP ports, on any address. Ports without a listener are not
   * in the result.
   */
  listeners(ports: readonly number[]): Promise<ReadonlyMap<number, ListeningProcess>>;
}

const maxBodyBytes = 4096;

type ProbeOptions = Parameters<Probes["http"]>[1];

/** The clock, and the connections that are kept open for the next probe. */
interface Kept {
  readonly http: HttpAgent;
  readonly https: HttpsAgent;
  /**
   * The server certificates of the open connections, cached so that a probe need not parse the same certificate again.
   */
  readonly certificates: WeakMap<TLSSocket, ServedCertificate>;
  readonly clock: Pick<Clock, "now">;
}

/** The time after which a keep-alive connection without a request is closed. */
const keptMillis = 60_000;

export function createProbes(clock: Pick<Clock, "now">): Probes {
  const options = { keepAlive: true, timeout: keptMillis, maxFreeSockets: 1 };
  // Disables TLS session resumption, because the certificate would not be verified again when a session is resumed.
  const https = new HttpsAgent({ ...options, maxCachedSessions: 0 });
  const kept: Kept = { clock, http: new HttpAgent(options), https, certificates: new WeakMap() };
  return {
    http: (url, options) => probe(url, options, kept),
    waiting: waitingConnections,
    self: readSelf,
    listeners: findListeners,
    writes,
    roundTrip,
    connect: tryConnection,
  };
}

async function probe(url: string, options: ProbeOptions, kept: Kept): Promise<ProbeResult> {
  const { signal, timeoutMillis, keepAlive } = options;
  signal.throwIfAborted();
  const begun = performance.now();
  const loop = performance.eventLoopUtilization();
  using timeout = deadline(signal, timeoutMillis, () => late);
  let current: ClientRequest | undefined;
  const begin = (agents?: Kept): ClientRequest => {
    current = openRequest(new URL(url), { ...toRequest(new URL(url), options, timeout.signal), kept: agents });
    return current;
  };
  try {
    if (keepAlive !== true) return await toProbeResult(begin());
    const request = begin(kept);
    const released = new Promise((resolve) => request.once("close", resolve));
    const result = await toProbeResult(request).catch((error: unknown) => {
      // Retries if the server closed the keep-alive connection before receiving the request.
      if (!request.reusedSocket || timeout.signal.aborted) throw error;
      return toProbeResult(begin());
    });
    // The deadline destroys all open requests, so the keep-alive connection must return to its pool before the
    // deadline.
    await released;
    const invalid = options.caPem === undefined ? null : invalidNow(kept, request);
    return invalid === null ? result : await unverified(url, options, invalid);
  } catch (error) {
    signal.throwIfAborted();
    if (!(error instanceof Error)) throw error;
    const socket = current?.socket;
    if (timeout.signal.aborted) {
      const { active } = performance.eventLoopUtilization(loop);
      return noAnswer({ socket, timeoutMillis, tookMillis: performance.now() - begun, activeMillis: active });
    }
    const body = error.message || codeOf(error);
    const failure = failureOf(error, socket);
    return failure === "unverified" ? unverified(url, options, body) : { status: 0, body, failure };
  }
}

const late = new Error("no answer in time");

interface NoAnswer {
  readonly socket: Socket | null | undefined;
  readonly timeoutMillis: number;
  readonly tookMillis: number;
  /** How long the event loop was busy during the probe. */
  readonly activeMillis: number;
}

/** If a timer fires later than this, the process was busy or stopped. */
const lateMillis = 1_000;

/**
 * Returns the result of a probe that got no response in time. If the agent's process was busy or stopped, the agent may
 * have missed the response.
 */
function noAnswer({ socket, timeoutMillis, tookMillis, activeMillis }: NoAnswer): ProbeResult {
  const body = `no answer within ${timeoutMillis / 1000} s`;
  if (tookMillis - timeoutMillis > lateMillis || activeMillis > Math.max(timeoutMillis / 2, lateMillis)) {
    return { status: 0, body: `${body}, while the agent itself was busy or stopped`, failure: "own" };
  }
  const connected = socket !== null && socket !== undefined && !socket.connecting;
  return { status: 0, body, failure: connected ? "silent" : "unconnected" };
}

/**
 * Returns why the certificate of a keep-alive connection is not valid now, in OpenSSL's wording; null if it is valid.
 * The certificate was verified when the connection was opened, but may have expired since then.
 */
function invalidNow({ certificates, clock }: Kept, { socket }: ClientRequest): string | null {
  if (!(socket instanceof TLSSocket)) return null;
  const certificate = certificates.get(socket) ?? certificateOf(socket);
  if (certificate === undefined) return null;
  certificates.set(socket, certificate);
  const now = clock.now();
  if (certificate.validFrom <= now && now <= certificate.validTo) return null;
  socket.destroy();
  return now < certificate.validFrom ? "certificate is not yet valid" : "certificate has expired";
}

async function unverified(url: string, options: ProbeOptions, body: string): Promise<ProbeResult> {
  using timeout = deadline(options.signal, options.timeoutMillis, () => late);
  const certificate = await askCertificate(new URL(url), toRequest(new URL(url), options, timeout.signal));
  return { status: 0, body, failure: "unverified", ...(certificate !== undefined && { certificate }) };
}

function toRequest(url: URL, { host, caPem, certPem, keyPem }: ProbeOptions, signal: AbortSignal): HttpRequest {
  return {
    signal,
    headers: host === undefined ? {} : { host },
    tls: {
      // Without this option, Node verifies the certificate against the Host header.
      servername: isIP(url.hostname) === 0 ? url.hostname : "",
      rejectUnauthorized: caPem !== undefined,
      minVersion: "TLSv1.2",
      ...(caPem !== undefined && { ca: caPem }),
      ...(certPem !== undefined && { cert: certPem }),
      ...(keyPem !== undefined && { key: keyPem }),
    },
  };
}

async function toProbeResult(request: ClientRequest): Promise<ProbeResult> {
  const { status, body } = await readAnswer(request, { maxBytes: maxBodyBytes });
  return { status, body: body.toString("utf8") };
}
