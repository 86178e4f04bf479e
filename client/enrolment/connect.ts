import { X509Certificate } from "node:crypto";
import { createSecureContext } from "node:tls";
import { credentials, Metadata, type ServiceError } from "@grpc/grpc-js";
import { KhwError } from "../../proto/errors.ts";
import { EnrolmentServiceClient } from "../../proto/gen/khw/agent/v1/enrolment.ts";
import { channelCredentials, channelOptions, type ManagementIdentity, type NodeAddress, nodeError } from "../node.ts";

/** An agent's EnrolmentService. Every failure is a KhwError that names the node. */
export interface EnrolmentNode {
  readonly address: NodeAddress;
  /** Waits until somebody listens there; the certificate that the agent serves with, undefined where it waits to be enrolled. */
  enrolment(signal: AbortSignal): Promise<Answered<{ readonly enrolled: boolean; readonly certificate: string }>>;
  request(nonce: Buffer, signal: AbortSignal): Promise<Answered<SignedRequest>>;
  install(certificate: string, signal: AbortSignal): Promise<void>;
  close(): void;
}

export interface SignedRequest {
  readonly request: string;
  readonly identityToken: string;
}

/** An answer, and the certificate that the connection was made with, on which it came. */
export type Answered<Value> = Value & { readonly peer: X509Certificate };

export interface ConnectOptions {
  /** Whose certificate the agent must have: one of the management CA's for its name, or, before it has one, anybody's. */
  readonly trust: "management" | "anybody";
  /** How long to wait for somebody to listen there, in milliseconds. */
  readonly waitMillis: number;
}

const callMillis = 60_000;

/** Connects at the first call. Who is trusted to be anybody must be told by what he answers. */
export function connectEnrolment(
  address: NodeAddress,
  identity: ManagementIdentity,
  { trust, waitMillis }: ConnectOptions,
): EnrolmentNode {
  const { name, host, port } = address;
  const channel = trust === "management" ? channelCredentials(identity) : unverified(identity);
  const target = `${host.includes(":") ? `[${host}]` : host}:${port}`;
  const client = new EnrolmentServiceClient(target, channel, channelOptions(name));

  const call = async <Response>(
    begin: (options: { deadline: number }, done: (error: ServiceError | null, response: Response) => void) => Call,
    signal: AbortSignal,
    waiting = 0,
  ): Promise<Response & { readonly peer: X509Certificate }> => {
    if (waiting > 0) await listening(client, address, { waitMillis: waiting, signal });
    return new Promise((resolve, reject) => {
      const running = begin({ deadline: Date.now() + callMillis }, (error, response) => {
        signal.removeEventListener("abort", cancel);
        if (error !== null) return reject(nodeError(address, error));
        const peer = running.getAuthContext()?.sslPeerCertificate;
        if (peer === undefined) return reject(new TypeError("a connection without a certificate"));
        return resolve({ ...response, peer: new X509Certificate(peer.raw) });
      });
      const cancel = (): void => running.cancel();
      signal.addEventListener("abort", cancel, { once: true });
      if (signal.aborted) cancel();
    });
  };

  return {
    address,
    enrolment: (signal) =>
      call((options, done) => client.getEnrolment({}, new Metadata(), options, done), signal, waitMillis),
    request: (nonce, signal) =>
      call((options, done) => client.getSigningRequest({ nonce }, new Metadata(), options, done), signal),
    install: async (certificate, signal) =>
      void (await call(
        (options, done) => client.installCertificate({ certificate }, new Metadata(), options, done),
        signal,
      )),
    close: () => client.close(),
  };
}

interface Call {
  cancel(): void;
  getAuthContext(): { readonly sslPeerCertificate?: { readonly raw: Buffer } } | null;
}

function unverified({ certificate, key }: ManagementIdentity) {
  const context = createSecureContext({ cert: certificate, key, minVersion: "TLSv1.3" });
  return credentials.createFromSecureContext(context, { rejectUnauthorized: false });
}

/** Resolves when the connection stands. @throws KhwError UNREACHABLE */
async function listening(
  client: EnrolmentServiceClient,
  { name, host, port }: NodeAddress,
  { waitMillis, signal }: { readonly waitMillis: number; readonly signal: AbortSignal },
): Promise<void> {
  const { promise, resolve, reject } = Promise.withResolvers<void>();
  const abort = (): void => reject(signal.reason);
  signal.addEventListener("abort", abort, { once: true });
  if (signal.aborted) abort();
  client.waitForReady(Date.now() + waitMillis, (error) => (error === undefined ? resolve() : reject(silent(error))));
  try {
    await promise;
  } finally {
    signal.removeEventListener("abort", abort);
  }

  function silent(cause: Error): KhwError {
    const where = `${host}:${port}`;
    return new KhwError("UNREACHABLE", `no agent listened at ${where} within ${waitMillis / 1000} s`, {
      node: name,
      hint: "is khw-agent installed there, and its port open to here?",
      cause,
    });
  }
}
