import { X509Certificate } from "node:crypto";
import { createSecureContext } from "node:tls";
import { credentials, Metadata } from "@grpc/grpc-js";
import { KhwError } from "../../proto/errors.ts";
import { EnrolmentServiceClient, type InstallCertificateResponse } from "../../proto/gen/khw/agent/v1/enrolment.ts";
import { type BeginCall, unaryCall, type UnaryAnswer } from "../cluster/calls.ts";
import {
  channelOptions,
  type ChannelTls,
  channelTls,
  type ManagementIdentity,
  type NodeAddress,
  grpcTarget,
} from "../cluster/channel.ts";
import { rethrow } from "../cluster/refusal.ts";

/** An agent's EnrolmentService. Every failure is a KhwError that names the node. */
export interface EnrolmentNode {
  readonly address: NodeAddress;
  /** Returns the state of the agent's certificate, as reported by the agent. */
  enrolment(signal: AbortSignal): Promise<Answered<{ readonly enrolled: boolean; readonly certificate: string }>>;
  request(nonce: Buffer, signal: AbortSignal): Promise<Answered<SignedRequest>>;
  /**
   * Installs the certificate. If `authorities` is given, the agent trusts these management CAs (PEM) from then on.
   * Returns the number of management CAs that the agent trusts; 0 if the agent cannot change its management CAs.
   */
  install(certificate: string, signal: AbortSignal, authorities?: string): Promise<number>;
  close(): void;
}

export interface SignedRequest {
  readonly request: string;
  readonly identityToken: string;
}

/** A response, and the certificate that the agent presented on the connection. */
export type Answered<Value> = Value & { readonly peer: X509Certificate };

/**
 * Selects the trusted certificates: any certificate from the management CA for the node's name, or only the given
 * certificate, regardless of its signer.
 */
export type Trust = "management" | X509Certificate;

const callMillis = 60_000;

/**
 * Connects on the first call. If only the given certificate is trusted, the response itself must prove the agent's
 * identity.
 */
export function connectEnrolment(address: NodeAddress, identity: ManagementIdentity, trust: Trust): EnrolmentNode {
  const { name } = address;
  const tls = (): ChannelTls => (trust === "management" ? channelTls(identity) : pinned(identity, trust));
  const { secureContext, checkServerIdentity } = tls();
  const channel = credentials.createFromSecureContext(secureContext, { checkServerIdentity });
  const client = new EnrolmentServiceClient(grpcTarget(address), channel, channelOptions(name));

  const call = <Response>(begin: BeginCall<Response>, signal: AbortSignal): Promise<UnaryAnswer<Response>> =>
    unaryCall(begin, { timeoutMillis: callMillis, signal }).catch((error: unknown) => rethrow({ address, tls }, error));

  const identified = async <Response>(begin: BeginCall<Response>, signal: AbortSignal): Promise<Answered<Response>> => {
    const { response, certificate } = await call(begin, signal);
    if (certificate !== undefined) return { ...response, peer: new X509Certificate(certificate) };
    throw new KhwError(
      "UNREACHABLE",
      "the connection was closed as the response arrived, so the sender cannot be verified",
      {
        node: name,
        hint: "run the command again",
      },
    );
  };

  return {
    address,
    enrolment: (signal) =>
      identified((options, done) => client.getEnrolment({}, new Metadata(), options, done), signal),
    request: (nonce, signal) =>
      identified((options, done) => client.getSigningRequest({ nonce }, new Metadata(), options, done), signal),
    // The agent closes its connections when it gets a new certificate, often before this client has processed the
    // response.
    install: async (certificate, signal, authorities = "") => {
      const { response } = await call<InstallCertificateResponse>(
        (options, done) => client.installCertificate({ certificate, authorities }, new Metadata(), options, done),
        signal,
      );
      return response.authorities;
    },
    close: () => client.close(),
  };
}

/** Trusts exactly this certificate. This works for a self-signed certificate, such as a provisional one. */
function pinned({ certificate, key }: ManagementIdentity, pin: X509Certificate): ChannelTls {
  return {
    secureContext: createSecureContext({ ca: pin.toString(), cert: certificate, key, minVersion: "TLSv1.3" }),
    checkServerIdentity: (_name, { raw }) => (raw.equals(pin.raw) ? undefined : new Error("another certificate")),
  };
}
