import { readFile } from "node:fs/promises";
import { dirname } from "node:path";
import { checkServerIdentity, createSecureContext } from "node:tls";
import {
  type ChannelCredentials,
  type ChannelOptions,
  type ClientReadableStream,
  credentials,
  Metadata,
  type ServiceError,
  status,
} from "@grpc/grpc-js";
import { type ErrorCode, KhwError, toKhwError } from "../proto/errors.ts";
import { fromServiceError } from "../proto/errors-wire.ts";
import {
  AgentServiceClient,
  type ApplyRbacRequest,
  type DesiredState,
  type Event,
  type GetInfoResponse,
  type GetPlanResponse,
  type GetStatusResponse,
  type HistoryEvent,
  type ListEventsRequest,
  type LogEntry,
  type Maintenance,
  type PlanResponse,
  type PreflightResponse,
  type RestartComponentRequest,
  type RestartComponentResponse,
  type SetMaintenanceResponse,
  type StreamLogsRequest,
  type WatchStatusResponse,
} from "../proto/gen/khw/agent/v1/agent.ts";
import { EncryptionServiceClient, type StoredValues } from "../proto/gen/khw/agent/v1/encryption.ts";
import { EtcdServiceClient } from "../proto/gen/khw/agent/v1/etcd.ts";
import { type EtcdCalls, etcdCalls } from "./etcd/calls.ts";
import { readRegister, type Register } from "./pki/register.ts";

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

/** One node's agent. Every failure is a KhwError that names the node. */
export interface AgentNode {
  readonly address: NodeAddress;
  info(signal: AbortSignal): Promise<GetInfoResponse>;
  readonly status: (signal: AbortSignal) => Promise<GetStatusResponse>;
  preflight(desired: DesiredState, signal: AbortSignal): Promise<PreflightResponse>;
  plan(desired: DesiredState, signal: AbortSignal): Promise<PlanResponse>;
  /** The operation's events up to its last. An abort of the signal only ends the listening: the node goes on. */
  apply(desired: DesiredState, operationId: string, signal: AbortSignal): AsyncIterable<Event>;
  /** The names of the RBAC objects that were created or changed. */
  applyRbac(request: ApplyRbacRequest, signal: AbortSignal): Promise<string[]>;
  /** What differs from the state that the agent keeps. */
  drift(signal: AbortSignal): Promise<GetPlanResponse>;
  restart(request: RestartComponentRequest, signal: AbortSignal): Promise<RestartComponentResponse>;
  /** How many values etcd holds, by the key that each is stored under. */
  storedValues(signal: AbortSignal): Promise<StoredValues[]>;
  /** Takes the node out of the load balancer's rotation, or back in. */
  setMaintenance(drained: boolean, signal: AbortSignal): Promise<Maintenance>;
  /** The status, then its changes, until the signal aborts. */
  watch(signal: AbortSignal): AsyncIterable<WatchStatusResponse>;
  logs(request: StreamLogsRequest, signal: AbortSignal): AsyncIterable<LogEntry>;
  /** What it does for the etcd member on its machine. */
  readonly etcd: EtcdCalls;
  /** What the agent remembers. */
  history(request: ListEventsRequest, signal: AbortSignal): AsyncIterable<HistoryEvent>;
  close(): void;
}

/** How calls are made to one agent: with a deadline, cancelled by the caller's signal, failures in khw's words. */
export interface ClientCalls {
  readonly call: <Response>(
    timeout: number,
    signal: AbortSignal,
    begin: (
      options: { deadline: number },
      done: (error: ServiceError | null, response: Response) => void,
    ) => { cancel(): void },
  ) => Promise<Response>;
  readonly messages: <Message>(stream: ClientReadableStream<Message>, signal: AbortSignal) => AsyncIterable<Message>;
  readonly failure: (error: ServiceError) => KhwError;
}

const millis = {
  info: 10_000,
  status: 30_000,
  preflight: 30_000,
  plan: 60_000,
  rbac: 60_000,
  /** An API server may take a minute to answer again on a small machine; its agent gives up before this. */
  restart: 240_000,
  maintenance: 60_000,
  /** All that Kubernetes keeps in etcd is read. */
  storedValues: 300_000,
};

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
  const [ca, certificate, key, register] = await Promise.all([
    read(paths.ca),
    read(paths.certificate),
    read(paths.key),
    readRegister(dirname(paths.ca)),
  ]);
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
export function channelCredentials({ ca, certificate, key, register }: ManagementIdentity): ChannelCredentials {
  const context = createSecureContext({ ca, cert: certificate, key, minVersion: "TLSv1.3" });
  return credentials.createFromSecureContext(context, {
    checkServerIdentity: (name, peer) => {
      const revoked = register?.revokedNames.has(name) === true || register?.revokedSerials.has(peer.serialNumber);
      return revoked === true
        ? new Error(`the certificate ${peer.serialNumber} of ${name} was revoked`)
        : checkServerIdentity(name, peer);
    },
  });
}

/** Of every connection to the agent of that name. */
export function channelOptions(name: string): ChannelOptions {
  return {
    "grpc.ssl_target_name_override": name,
    "grpc.default_authority": name,
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

/** A connection is made at the first call. The server's certificate must be for the node's name, whatever its address. */
export function connectNode(
  address: NodeAddress,
  identity: ManagementIdentity,
  channel: ChannelCredentials = channelCredentials(identity),
): AgentNode {
  const { name, host, port } = address;
  const target = `${host.includes(":") ? `[${host}]` : host}:${port}`;
  const client = new AgentServiceClient(target, channel, channelOptions(name));

  const call: ClientCalls["call"] = (timeout, signal, begin) =>
    new Promise((resolve, reject) => {
      const running = begin({ deadline: Date.now() + timeout }, (error, response) => {
        signal.removeEventListener("abort", cancel);
        if (error === null) resolve(response);
        else reject(nodeError(address, error));
      });
      const cancel = (): void => running.cancel();
      signal.addEventListener("abort", cancel, { once: true });
      if (signal.aborted) cancel();
    });

  const encryption = new EncryptionServiceClient(target, channel, { channelOverride: client.getChannel() });
  const etcd = new EtcdServiceClient(target, channel, {
    channelOverride: client.getChannel(),
  });
  return {
    address,
    etcd: etcdCalls(etcd, {
      call,
      messages: (stream, signal) => messages(address, stream, signal),
      failure: (error) => nodeError(address, error),
    }),
    info: (signal) => call(millis.info, signal, (options, done) => client.getInfo({}, new Metadata(), options, done)),
    status: (signal) =>
      call(millis.status, signal, (options, done) => client.getStatus({}, new Metadata(), options, done)),
    preflight: (desired, signal) =>
      call(millis.preflight, signal, (options, done) => client.preflight({ desired }, new Metadata(), options, done)),
    plan: (desired, signal) =>
      call(millis.plan, signal, (options, done) => client.plan({ desired }, new Metadata(), options, done)),
    applyRbac: async (request, signal) =>
      (
        await call(
          millis.rbac,
          signal,
          (options, done: (error: ServiceError | null, response: { changed: string[] }) => void) =>
            client.applyRbac(request, new Metadata(), options, done),
        )
      ).changed,
    drift: (signal) => call(millis.plan, signal, (options, done) => client.getPlan({}, new Metadata(), options, done)),
    restart: (request, signal) =>
      call(millis.restart, signal, (options, done) => client.restartComponent(request, new Metadata(), options, done)),
    storedValues: async (signal) => {
      const { groups } = await call(
        millis.storedValues,
        signal,
        (options, done: (error: ServiceError | null, response: { groups: StoredValues[] }) => void) =>
          encryption.countStoredValues({}, new Metadata(), options, done),
      );
      return groups;
    },
    setMaintenance: async (drained, signal) => {
      const { maintenance } = await call(
        millis.maintenance,
        signal,
        (options, done: (error: ServiceError | null, response: SetMaintenanceResponse) => void) =>
          client.setMaintenance({ drained }, new Metadata(), options, done),
      );
      return maintenance ?? { drained, holder: "", sinceUnixMillis: 0 };
    },
    apply: (desired, operationId, signal) => messages(address, client.apply({ desired, operationId }), signal),
    watch: (signal) => messages(address, client.watchStatus({}), signal),
    logs: (request, signal) => messages(address, client.streamLogs(request), signal),
    history: (request, signal) => messages(address, client.listEvents(request), signal),
    close: () => client.close(),
  };
}

async function* messages<Message>(
  address: NodeAddress,
  stream: ClientReadableStream<Message>,
  signal: AbortSignal,
): AsyncGenerator<Message> {
  const cancel = (): void => stream.cancel();
  signal.addEventListener("abort", cancel, { once: true });
  try {
    if (signal.aborted) cancel();
    for await (const message of stream as AsyncIterable<Message>) yield message;
  } catch (error) {
    throw isServiceError(error) ? nodeError(address, error) : toKhwError(error).at({ node: address.name });
  } finally {
    signal.removeEventListener("abort", cancel);
    // A caller that has heard enough leaves before the call's status has come, and an open call keeps the connection open.
    stream.cancel();
  }
}

function isServiceError(error: unknown): error is ServiceError {
  return error instanceof Error && "code" in error && "details" in error && "metadata" in error;
}

/** What the agent said, or else what the call's or the connection's failure means. */
export function nodeError({ name, host, port }: NodeAddress, error: ServiceError): KhwError {
  const said = fromServiceError(error);
  if (said !== undefined) return said.at({ node: name });
  const { code, message, hint } = explain(error, `${host}:${port}`);
  return new KhwError(code, message, { node: name, hint, cause: error });
}

interface Explanation {
  readonly code: ErrorCode;
  readonly message: string;
  readonly hint: string;
}

function explain({ code, details }: ServiceError, where: string): Explanation {
  const ofCode: Partial<Record<status, Explanation>> = {
    [status.CANCELLED]: {
      code: "CANCELLED",
      message: "detached; the node goes on by itself",
      hint: "run the command again to attach",
    },
    [status.DEADLINE_EXCEEDED]: {
      code: "UNREACHABLE",
      message: `the agent at ${where} does not answer in time`,
      hint: "is the machine up, and its port open to here?",
    },
    [status.RESOURCE_EXHAUSTED]: {
      code: "INVALID_ARGUMENT",
      message: `the agent does not take so much at once: ${details}`,
      hint: "is one of the credentials, or kubernetes.caFile, far larger than it need be?",
    },
    [status.UNIMPLEMENTED]: {
      code: "INTERNAL",
      message: `the agent does not know this call: ${details}`,
      hint: "install the agent's newest package on the node",
    },
  };
  return ofCode[code] ?? explainConnection(plain(details), where);
}

/** grpc-js's account of a failed connection without what only programmers of it or of Node understand. */
function plain(details: string): string {
  return details
    .replace(/^No connection established\. Last error: /, "")
    .replace(/^Error(?: \[\w+\])?: /, "")
    .replace(/\.? ?Resolution note: *$/, "")
    .replace(/; if the root CA is installed locally, try running Node\.js with .*$/, "");
}

function explainConnection(details: string, where: string): Explanation {
  if (/altnames|Hostname\/IP does not match/.test(details)) {
    return {
      code: "WRONG_NODE",
      message: `what answers at ${where} has a certificate for another node: ${details}`,
      hint: "correct the node's address, or issue a certificate for its name",
    };
  }
  // Not "self-signed certificate in certificate chain", which is what another CA looks like.
  if (/self.signed certificate(?! in)/i.test(details)) {
    return {
      code: "NOT_ENROLLED",
      message: `what answers at ${where} has no certificate of the management CA`,
      hint: "where its agent waits to be enrolled: khw-client enrol",
    };
  }
  if (/revoked/.test(details)) {
    return {
      code: "WRONG_NODE",
      message: `what answers at ${where} is not trusted: ${details}`,
      hint: "if it is to be trusted again: khw-client enrol --readmit, and for a new certificate khw-client install",
    };
  }
  if (/certificate|issuer/i.test(details)) {
    return {
      code: "WRONG_NODE",
      message: `what answers at ${where} is not trusted: ${details}`,
      hint: "its certificate must be of the management CA (`management.ca` in khw.yaml)",
    };
  }
  return {
    code: "UNREACHABLE",
    message: `no connection to the agent at ${where}: ${details}`,
    hint: "is khw-agent running there, and its port open to here?",
  };
}
