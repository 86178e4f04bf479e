import { readFile } from "node:fs/promises";
import { dirname } from "node:path";
import { checkServerIdentity, createSecureContext, type SecureContext } from "node:tls";
import { type ChannelCredentials, type ClientOptions, credentials } from "@grpc/grpc-js";
import { KhwError } from "../../proto/errors.ts";
import { readRegister, type Register } from "../pki/management/register.ts";
import { checkResponses } from "./responses.ts";

/** The address of a node's agent, and the name that the agent's certificate must have. */
export interface NodeAddress {
  readonly name: string;
  readonly host: string;
  readonly port: number;
}

/** Returns the address in gRPC's notation. */
export function grpcTarget({ host, port }: NodeAddress): string {
  return `${host.includes(":") ? `[${host}]` : host}:${port}`;
}

/** The identity that the client presents to the agents. All fields are PEM. */
export interface ManagementIdentity {
  readonly ca: Buffer;
  readonly certificate: Buffer;
  readonly key: Buffer;
  /** The register of agents, which lists revoked certificates; if absent, no certificate counts as revoked. */
  readonly register?: Pick<Register, "revokedNames" | "revokedSerials"> & Partial<Pick<Register, "removedNames">>;
}

/**
 * Reads the identity. Also reads the register of agents, if there is one beside the CA's certificate.
 * @throws KhwError CREDENTIAL_INVALID if a file of the identity cannot be read, or if the key and the certificate do
 * not match
 */
export async function readManagementIdentity(paths: {
  readonly ca: string;
  readonly certificate: string;
  readonly key: string;
}): Promise<ManagementIdentity> {
  const read = async (path: string): Promise<Buffer> =>
    readFile(path).catch((cause: Error) => {
      throw new KhwError("CREDENTIAL_INVALID", `management identity: ${cause.message}`, {
        hint: "run `khw-client pki init` to create an identity, or fix the file paths under `management` in khw.yaml",
        cause,
      });
    });
  // The files are read one after the other, so that the error names the first missing file.
  const ca = await read(paths.ca);
  const certificate = await read(paths.certificate);
  const key = await read(paths.key);
  const register = await readRegister(dirname(paths.ca));
  try {
    createSecureContext({ ca, cert: certificate, key });
  } catch (cause) {
    const reason = cause instanceof Error ? cause.message : String(cause);
    const what = `${paths.ca}, ${paths.certificate} and ${paths.key} do not belong together: ${reason}`;
    throw new KhwError("CREDENTIAL_INVALID", `management identity: ${what}`, {
      hint: "correct the files under `management` in khw.yaml; `khw-client pki issue` creates a certificate and its key",
      cause,
    });
  }
  return { ca, certificate, key, register };
}

/**
 * Returns the credentials that all connections with an identity share. Create them once for many nodes, because parsing
 * the certificates and the key takes about a millisecond.
 */
export function channelCredentials(identity: ManagementIdentity): ChannelCredentials {
  const { secureContext, checkServerIdentity: check } = channelTls(identity);
  return credentials.createFromSecureContext(secureContext, { checkServerIdentity: check });
}

/** Like channelCredentials, but for TLS connections without gRPC. */
export function channelTls({ ca, certificate, key, register }: ManagementIdentity): ChannelTls {
  return {
    secureContext: createSecureContext({ ca, cert: certificate, key, minVersion: "TLSv1.3" }),
    checkServerIdentity: (name, peer) => {
      const revoked = register?.revokedNames.has(name) === true || register?.revokedSerials.has(peer.serialNumber);
      if (revoked !== true) return checkServerIdentity(name, peer);
      const why = register?.removedNames?.has(name) === true ? `, because ${name} was removed from the cluster` : "";
      return new Error(`certificate ${peer.serialNumber} of ${name} was revoked${why}`);
    },
  };
}

export interface ChannelTls {
  readonly secureContext: SecureContext;
  readonly checkServerIdentity: typeof checkServerIdentity;
}

/** Returns the options for every connection to the agent with this name. */
export function channelOptions(name: string): ClientOptions {
  return {
    callInvocationTransformer: checkResponses,
    "grpc.ssl_target_name_override": name,
    "grpc.default_authority": name,
    // Connections to agents do not use a proxy, because a proxy for Google's APIs rarely allows the agents' port.
    "grpc.enable_http_proxy": 0,
    "grpc.enable_retries": 0,
    "grpc.keepalive_time_ms": 20_000,
    "grpc.keepalive_timeout_ms": 10_000,
    // khw must notice quickly that a node is back, but grpc-js's default back-off grows to two minutes.
    "grpc.initial_reconnect_backoff_ms": 500,
    "grpc.max_reconnect_backoff_ms": 5_000,
    "grpc.enable_channelz": 0,
    "grpc.service_config_disable_resolution": 1,
  };
}
