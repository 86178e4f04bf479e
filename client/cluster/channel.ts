import { readFile } from "node:fs/promises";
import { dirname } from "node:path";
import { checkServerIdentity, createSecureContext, type SecureContext } from "node:tls";
import { type ChannelCredentials, type ClientOptions, credentials } from "@grpc/grpc-js";
import { KhwError } from "../../proto/errors.ts";
import { readRegister, type Register } from "../pki/management/register.ts";
import { checkResponses } from "./responses.ts";

/** Where a node's agent is, and the name that its certificate must be for. */
export interface NodeAddress {
  readonly name: string;
  readonly host: string;
  readonly port: number;
}

/** Who the client is to the agents; all PEM. */
export interface ManagementIdentity {
  readonly ca: Buffer;
  readonly certificate: Buffer;
  readonly key: Buffer;
  /** Which agents' certificates are not accepted although the CA signed them; none where it is left out. */
  readonly register?: Pick<Register, "revokedNames" | "revokedSerials">;
}

/**
 * With the register of agents beside the CA's certificate, where there is one.
 * @throws KhwError CREDENTIAL_INVALID when a file of the identity cannot be read, or key and certificate are no pair.
 */
export async function readManagementIdentity(paths: {
  readonly ca: string;
  readonly certificate: string;
  readonly key: string;
}): Promise<ManagementIdentity> {
  const read = async (path: string): Promise<Buffer> =>
    readFile(path).catch((cause: Error) => {
      throw new KhwError("CREDENTIAL_INVALID", `management identity: ${cause.message}`, {
        hint: "`khw-client pki init` makes one; `management` in khw.yaml names its files",
        cause,
      });
    });
  // In turn, so that the first file that is missing is the one that the error names.
  const ca = await read(paths.ca);
  const certificate = await read(paths.certificate);
  const key = await read(paths.key);
  const register = await readRegister(dirname(paths.ca));
  try {
    createSecureContext({ ca, cert: certificate, key });
  } catch (cause) {
    const reason = cause instanceof Error ? cause.message : String(cause);
    const what = `${paths.ca}, ${paths.certificate} and ${paths.key} cannot be used together: ${reason}`;
    throw new KhwError("CREDENTIAL_INVALID", `management identity: ${what}`, {
      hint: "`management` in khw.yaml names the files; `khw-client pki issue` makes a certificate and its key",
      cause,
    });
  }
  return { ca, certificate, key, register };
}

/**
 * What all connections of one identity have in common. To be made once for many nodes: certificates and key are parsed here,
 * which costs about a millisecond.
 */
export function channelCredentials(identity: ManagementIdentity): ChannelCredentials {
  const { secureContext, checkServerIdentity: check } = channelTls(identity);
  return credentials.createFromSecureContext(secureContext, { checkServerIdentity: check });
}

/** The same for a connection without gRPC. */
export function channelTls({ ca, certificate, key, register }: ManagementIdentity): ChannelTls {
  return {
    secureContext: createSecureContext({ ca, cert: certificate, key, minVersion: "TLSv1.3" }),
    checkServerIdentity: (name, peer) => {
      const revoked = register?.revokedNames.has(name) === true || register?.revokedSerials.has(peer.serialNumber);
      return revoked === true
        ? new Error(`the certificate ${peer.serialNumber} of ${name} was revoked`)
        : checkServerIdentity(name, peer);
    },
  };
}

export interface ChannelTls {
  readonly secureContext: SecureContext;
  readonly checkServerIdentity: typeof checkServerIdentity;
}

/** Of every connection to the agent of that name. */
export function channelOptions(name: string): ClientOptions {
  return {
    callInvocationTransformer: checkResponses,
    "grpc.ssl_target_name_override": name,
    "grpc.default_authority": name,
    // Agents are asked directly: a proxy for Google seldom lets their port through.
    "grpc.enable_http_proxy": 0,
    "grpc.enable_retries": 0,
    "grpc.keepalive_time_ms": 20_000,
    "grpc.keepalive_timeout_ms": 10_000,
    // A node that comes back is to be seen soon, and not after grpc-js's two minutes.
    "grpc.initial_reconnect_backoff_ms": 500,
    "grpc.max_reconnect_backoff_ms": 5_000,
    "grpc.enable_channelz": 0,
    "grpc.service_config_disable_resolution": 1,
  };
}
