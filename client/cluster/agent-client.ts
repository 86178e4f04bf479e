import { type ChannelCredentials, type ClientReadableStream, Metadata, type ServiceError } from "@grpc/grpc-js";
import {
  type AgentPackage,
  AgentServiceClient,
  type ApplyRbacRequest,
  type ApiBackend,
  type ApplyRequest,
  type AuditEntry,
  type ListAuditEntriesRequest,
  type DesiredState,
  type Event,
  type GetHardeningResponse,
  type GetInfoResponse,
  type GetPlanResponse,
  type GetStatusResponse,
  type HistoryEvent,
  type InspectApiRequest,
  type InspectApiResponse,
  type ProbeBackendsRequest,
  type ListEventsRequest,
  type LogEntry,
  type Maintenance,
  type PlanResponse,
  type PreflightResponse,
  type PrepareRequest,
  type RecordUpgradeResponse,
  type RestartComponentRequest,
  type RestartComponentResponse,
  type SetMaintenanceRequest,
  type SetMaintenanceResponse,
  type StreamLogsRequest,
  type TryCertificateRequest,
  type TryCertificateResponse,
  type TryProgramsResponse,
  type Upgrade,
  type UpgradeAgentRequest,
  type UpgradeAgentResponse,
  type WatchStatusResponse,
} from "../../proto/gen/khw/agent/v1/agent.ts";
import {
  EncryptionServiceClient,
  type StoredValues,
  type StoredVersion,
} from "../../proto/gen/khw/agent/v1/encryption.ts";
import { EtcdServiceClient } from "../../proto/gen/khw/agent/v1/etcd.ts";
import { RemovalServiceClient } from "../../proto/gen/khw/agent/v1/removal.ts";
import { type ClientCalls, unaryCall } from "./calls.ts";
import {
  channelCredentials,
  channelOptions,
  type ManagementIdentity,
  type NodeAddress,
  grpcTarget,
} from "./channel.ts";
import { type EtcdCalls, etcdCalls } from "./etcd-client.ts";
import { type Dial, dialOf, rethrow } from "./refusal.ts";
import { type RemovalCalls, removalCalls } from "./removal-client.ts";
import { upload } from "./upload.ts";

/** The agent of a node. Every failure is a KhwError with the node's name. */
export interface AgentNode {
  readonly address: NodeAddress;
  info(signal: AbortSignal): Promise<GetInfoResponse>;
  readonly status: (signal: AbortSignal) => Promise<GetStatusResponse>;
  preflight(desired: DesiredState, signal: AbortSignal): Promise<PreflightResponse>;
  /** Checks that the downloaded programs, which are not running yet, accept their new command lines. */
  tryPrograms(desired: DesiredState, signal: AbortSignal): Promise<TryProgramsResponse>;
  plan(desired: DesiredState, signal: AbortSignal): Promise<PlanResponse>;
  /**
   * Yields the operation's events, up to the last one. Aborting the signal only stops listening; the operation
   * continues on the node.
   */
  apply(request: ApplyRequest, signal: AbortSignal): AsyncIterable<Event>;
  /**
   * Like `apply`, but performs only the downloads that precede an apply.
   * @throws KhwError; see isUnknownCall for agents of an older version
   */
  prepare(request: PrepareRequest, signal: AbortSignal): AsyncIterable<Event>;
  /** Returns the names of the RBAC objects that were created or changed. */
  applyRbac(request: ApplyRbacRequest, signal: AbortSignal): Promise<string[]>;
  /** Reads, through the node's own API server, the facts that determine whether the release can be changed. */
  inspectApi(request: InspectApiRequest, signal: AbortSignal): Promise<InspectApiResponse>;
  /** Tries to reach the backends of all webhooks and APIServices from the node's machine. */
  probeBackends(request: ProbeBackendsRequest, signal: AbortSignal): Promise<ApiBackend[]>;
  /** Returns which of the node's own servers accept a client certificate. */
  tryCertificate(request: TryCertificateRequest, signal: AbortSignal): Promise<TryCertificateResponse>;
  /** Returns how the machine differs from the desired state that its agent has saved. */
  drift(signal: AbortSignal): Promise<GetPlanResponse>;
  /** Returns the facts on which the checks of the CIS benchmark are based. */
  hardening(signal: AbortSignal): Promise<GetHardeningResponse>;
  restart(request: RestartComponentRequest, signal: AbortSignal): Promise<RestartComponentResponse>;
  /** Counts the values in etcd, grouped by encryption key. */
  storedValues(signal: AbortSignal): Promise<StoredValues[]>;
  /** Counts the values of these resources in etcd, grouped by API version. */
  storedVersions(resources: readonly string[], signal: AbortSignal): Promise<StoredVersion[]>;
  /**
   * Drains or undrains the node. Returns the resulting maintenance state, because a node that a person drained may stay
   * drained.
   */
  setMaintenance(wanted: SetMaintenanceRequest, signal: AbortSignal): Promise<Maintenance>;
  /** Records an upgrade of the cluster in the agent's status and history. */
  recordUpgrade(upgrade: Upgrade, signal: AbortSignal): Promise<void>;
  /**
   * Sends the agent a new package. The agent checks the package. It also starts the installation, unless the request
   * asks only for a check.
   */
  upgradeAgent(
    announced: AgentPackage,
    chunks: AsyncIterable<Uint8Array>,
    signal: AbortSignal,
  ): Promise<UpgradeAgentResponse>;
  /** Yields the current status, then every change, until the signal is aborted. */
  watch(signal: AbortSignal): AsyncIterable<WatchStatusResponse>;
  logs(request: StreamLogsRequest, signal: AbortSignal): AsyncIterable<LogEntry>;
  /** The calls that concern the etcd member on the agent's machine. */
  readonly etcd: EtcdCalls;
  /** The calls that undo a bootstrap or remove a controller. */
  readonly removal: RemovalCalls;
  /** Yields the agent's history. */
  history(request: ListEventsRequest, signal: AbortSignal): AsyncIterable<HistoryEvent>;
  /** Yields the agent's audit entries; only administrators may read them. */
  audit(request: ListAuditEntriesRequest, signal: AbortSignal): AsyncIterable<AuditEntry>;
  close(): void;
}

const millis = {
  info: 10_000,
  status: 30_000,
  /** The agent may request digests from each mirror, and a stalled mirror delays the agent by 30 s or more. */
  preflight: 120_000,
  /** Four programs run one after the other; each exits within seconds, even on a busy machine. */
  trial: 240_000,
  plan: 60_000,
  rbac: 60_000,
  /** On a small machine, an API server may take a minute to answer again. The agent gives up before this limit. */
  restart: 240_000,
  maintenance: 60_000,
  /** Over a slow link, sending the package takes minutes. */
  upgradeAgent: 900_000,
  /** The call reads everything that Kubernetes keeps in etcd. */
  storedValues: 300_000,
};

/**
 * Connects on the first call. The server's certificate must be for the node's name; the node's address does not matter.
 */
export function connectNode(
  address: NodeAddress,
  identity: ManagementIdentity,
  channel: ChannelCredentials = channelCredentials(identity),
): AgentNode {
  const { name } = address;
  const target = grpcTarget(address);
  const client = new AgentServiceClient(target, channel, channelOptions(name));
  const dial = dialOf(address, identity);

  const call: ClientCalls["call"] = async (timeoutMillis, signal, begin) =>
    (await unaryCall(begin, { timeoutMillis, signal }).catch((error: unknown) => rethrow(dial, error))).response;

  const sameChannel = { ...channelOptions(name), channelOverride: client.getChannel() };
  const encryption = new EncryptionServiceClient(target, channel, { ...sameChannel });
  const etcd = new EtcdServiceClient(target, channel, { ...sameChannel });
  const removal = new RemovalServiceClient(target, channel, { ...sameChannel });
  return {
    address,
    etcd: etcdCalls(etcd, {
      call,
      messages: (stream, signal) => messages(dial, stream, signal),
      explain: (error) => rethrow(dial, error),
    }),
    removal: removalCalls(removal, { call }),
    info: (signal) => call(millis.info, signal, (options, done) => client.getInfo({}, new Metadata(), options, done)),
    status: (signal) =>
      call(millis.status, signal, (options, done) => client.getStatus({}, new Metadata(), options, done)),
    preflight: (desired, signal) =>
      call(millis.preflight, signal, (options, done) => client.preflight({ desired }, new Metadata(), options, done)),
    tryPrograms: (desired, signal) =>
      call(millis.trial, signal, (options, done) => client.tryPrograms({ desired }, new Metadata(), options, done)),
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
    tryCertificate: (request, signal) =>
      call(millis.rbac, signal, (options, done) => client.tryCertificate(request, new Metadata(), options, done)),
    inspectApi: (request, signal) =>
      call(millis.rbac, signal, (options, done) => client.inspectApi(request, new Metadata(), options, done)),
    probeBackends: async (request, signal) =>
      (
        await call(
          millis.rbac,
          signal,
          (options, done: (error: ServiceError | null, response: { backends: ApiBackend[] }) => void) =>
            client.probeBackends(request, new Metadata(), options, done),
        )
      ).backends,
    drift: (signal) => call(millis.plan, signal, (options, done) => client.getPlan({}, new Metadata(), options, done)),
    hardening: (signal) =>
      call(millis.status, signal, (options, done) => client.getHardening({}, new Metadata(), options, done)),
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
    storedVersions: async (resources, signal) => {
      const { versions } = await call(
        millis.storedValues,
        signal,
        (options, done: (error: ServiceError | null, response: { versions: StoredVersion[] }) => void) =>
          encryption.countStoredVersions({ resources: [...resources] }, new Metadata(), options, done),
      );
      return versions;
    },
    upgradeAgent: (announced, chunks, signal) =>
      upload<UpgradeAgentRequest, UpgradeAgentResponse>({
        begin: (options, done) => client.upgradeAgent(new Metadata(), options, done),
        first: { part: { $case: "package", value: announced } },
        toMessage: (chunk) => ({ part: { $case: "chunk", value: chunk } }),
        chunks,
        timeoutMillis: millis.upgradeAgent,
        signal,
      }).catch((error: unknown) => rethrow(dial, error)),
    setMaintenance: async (wanted, signal) => {
      const { maintenance } = await call(
        millis.maintenance,
        signal,
        (options, done: (error: ServiceError | null, response: SetMaintenanceResponse) => void) =>
          client.setMaintenance(wanted, new Metadata(), options, done),
      );
      return maintenance ?? { drained: wanted.drained, holder: "", sinceUnixMillis: 0 };
    },
    recordUpgrade: async (upgrade, signal) => {
      await call<RecordUpgradeResponse>(millis.status, signal, (options, done) =>
        client.recordUpgrade({ upgrade }, new Metadata(), options, done),
      );
    },
    apply: (request, signal) => messages(dial, client.apply(request), signal),
    prepare: (request, signal) => messages(dial, client.prepare(request), signal),
    watch: (signal) => messages(dial, client.watchStatus({}), signal),
    logs: (request, signal) => messages(dial, client.streamLogs(request), signal),
    history: (request, signal) => messages(dial, client.listEvents(request), signal),
    audit: (request, signal) => messages(dial, client.listAuditEntries(request), signal),
    close: () => client.close(),
  };
}

async function* messages<Message>(
  dial: Dial,
  stream: ClientReadableStream<Message>,
  signal: AbortSignal,
): AsyncGenerator<Message> {
  const cancel = (): void => stream.cancel();
  signal.addEventListener("abort", cancel, { once: true });
  try {
    if (signal.aborted) cancel();
    for await (const message of stream as AsyncIterable<Message>) yield message;
  } catch (error) {
    return await rethrow(dial, error);
  } finally {
    signal.removeEventListener("abort", cancel);
    // A caller may stop reading before the call's status arrives, and an open call keeps the connection open.
    stream.cancel();
  }
}
