import { isIPv4 } from "node:net";
import { show } from "../../proto/validate.ts";
import type { Controller } from "../../proto/desired.ts";
import { KhwError, toKhwError } from "../../proto/errors.ts";
import type { GetInfoResponse } from "../../proto/gen/khw/agent/v1/agent.ts";
import { computeConnection, loadBalancerConfig } from "../config/load-balancer.ts";
import type { ClusterConfig } from "../config/schema.ts";
import type { Compute } from "../gce/compute.ts";
import type { LoadBalancerConfig } from "../gce/config.ts";
import type { ResolvedInstance } from "../gce/instances.ts";
import { clientVersion } from "../client-version.ts";
import { channelCredentials, readManagementIdentity } from "./channel.ts";
import { type AgentNode, connectNode } from "./agent-client.ts";
import type { NodeSpec } from "../config/nodes.ts";
import { versionSkew } from "./version-skew.ts";

/** The Compute API and the load balancer's configuration; absent if khw does not manage the load balancer. */
export interface Cloud {
  readonly compute: Compute;
  readonly loadBalancer: LoadBalancerConfig;
}

/** A controller, and its agent's response to GetInfo. */
export interface Member {
  readonly node: AgentNode;
  /** Undefined if the agent could not be reached, or was not called. */
  readonly info?: GetInfoResponse;
  readonly error?: KhwError;
}

/** Everything that a command needs to work on a cluster. Read once, when the command starts. */
export interface OpenCluster extends AsyncDisposable {
  readonly config: ClusterConfig;
  readonly members: readonly Member[];
  readonly cloud: Cloud | undefined;
  readonly instances: readonly ResolvedInstance[];
  /**
   * Opens a new connection to a node at once. A failed connection would wait for its back-off before it reconnects. The
   * new connection is closed together with this cluster's other connections.
   */
  readonly reconnect: (node: AgentNode) => AgentNode;
}

export interface OpenClusterOptions {
  /**
   * Whether to call GetInfo on every agent (default: true). Commands that make another call right away do not need
   * GetInfo.
   */
  readonly greet?: boolean;
}

/** @throws KhwError INVALID_ARGUMENT if no node is given */
export function refuseNoNodes({ nodes }: Pick<ClusterConfig, "nodes">): void {
  if (nodes.length > 0) return;
  throw new KhwError("INVALID_ARGUMENT", "no nodes given", {
    hint: "use --nodes controller-0,1,2, or set `nodes` in khw.yaml",
  });
}

/** @throws KhwError if the nodes' addresses cannot be found; an agent that does not answer is not an error here */
export async function openCluster(
  config: ClusterConfig,
  signal: AbortSignal,
  { greet: greeting = true }: OpenClusterOptions = {},
): Promise<OpenCluster> {
  refuseNoNodes(config);
  const identity = await readManagementIdentity(config.management);
  const compute = config.loadBalancer === "none" ? undefined : await openCloud(config);
  const instances = compute === undefined ? [] : await findInstances(compute, config, signal);
  const channel = channelCredentials(identity);
  const nodes: AgentNode[] = [];
  const keep = (node: AgentNode): AgentNode => {
    nodes.push(node);
    return node;
  };
  const connect = (spec: NodeSpec): Member => {
    const instance = instances.find(({ name }) => name === spec.name);
    const address = { name: spec.name, host: hostOf(spec, instance, config), port: spec.port };
    const node = keep(connectNode(address, identity, channel));
    const isRemoved = identity.register?.removedNames?.has(spec.name) === true;
    const error = isRemoved ? removedError(spec) : instance === undefined ? undefined : powerError(instance);
    return error === undefined ? { node } : { node, error };
  };
  const connected = config.nodes.map(connect);
  const members = greeting ? await fetchInfo(connected, signal) : connected;
  return {
    config,
    members,
    cloud: compute === undefined ? undefined : { compute, loadBalancer: loadBalancerConfig(config, instances) },
    instances,
    // grpc-js shares a connection, and its back-off, among all clients with the same credentials object.
    reconnect: ({ address }) => keep(connectNode(address, identity)),
    [Symbol.asyncDispose]: async () => {
      for (const node of nodes) node.close();
      await compute?.[Symbol.asyncDispose]();
    },
  };
}

/**
 * Calls GetInfo on all agents at once. Members that already have a response or an error are skipped. It is an error if
 * an agent's version is too far from this client's version.
 */
export async function fetchInfo(members: readonly Member[], signal: AbortSignal): Promise<Member[]> {
  const client = await clientVersion();
  return Promise.all(
    members.map(async (member): Promise<Member> => {
      const { node, info, error } = member;
      if (info !== undefined || error !== undefined) return member;
      try {
        const answer = await node.info(signal);
        const skew = versionSkew({ client, agent: answer.agentVersion })?.at({ node: node.address.name });
        return skew === undefined ? { node, info: answer } : { node, error: skew };
      } catch (thrown) {
        return { node, error: toKhwError(thrown) };
      }
    }),
  );
}

/**
 * Returns every controller with its internal address. The address comes from khw.yaml, otherwise from the agent,
 * otherwise from the Compute API.
 * @throws KhwError UNREACHABLE for a node without a known address; INVALID_RESPONSE for an invalid address
 */
export function controllersOf({
  config,
  members,
  instances,
}: Pick<OpenCluster, "config" | "members" | "instances">): Controller[] {
  return config.nodes.map(({ name, internalIp }, index) => {
    const known =
      internalIp ??
      members[index]?.info?.identity?.internalIp ??
      instances.find((instance) => instance.name === name)?.internalIp;
    if (known !== undefined && isIPv4(known)) return { name, internalIp: known };
    if (known !== undefined) {
      const hint = "set the node's `internalIp` in khw.yaml";
      throw new KhwError("INVALID_RESPONSE", `its internal address ${show(known)} is invalid`, { node: name, hint });
    }
    throw new KhwError(
      "UNREACHABLE",
      `its internal address is unknown: ${members[index]?.error?.message ?? "the agent reports no address"}`,
      {
        node: name,
        hint: "start the agent, or set the node's `internalIp` in khw.yaml",
      },
    );
  });
}

/** The Compute API of the cluster's project. */
export async function openCloud(config: ClusterConfig): Promise<Compute & AsyncDisposable> {
  const connection = computeConnection(config);
  const { openCompute } = await import("../gce/open.ts");
  return openCompute(connection, config.timeouts.compute);
}

/**
 * Returns the instances of the controllers.
 * @throws KhwError COMPUTE_FAILED
 */
export async function findInstances(
  compute: Compute,
  config: ClusterConfig,
  signal: AbortSignal,
): Promise<ResolvedInstance[]> {
  const { resolveInstances } = await import("../gce/instances.ts");
  const { project, region } = loadBalancerConfig(config, []);
  const place = { project, region, zone: config.gce.zone };
  return resolveInstances(
    compute,
    config.nodes.map(({ name }) => name),
    { place, signal },
  );
}

function hostOf(spec: NodeSpec, instance: ResolvedInstance | undefined, { gce }: ClusterConfig): string {
  const host = spec.host ?? (gce.nodeAddresses === "internal" ? instance?.internalIp : instance?.externalIp);
  if (host !== undefined) return host;
  // An ephemeral external address is released when the machine stops, so connections to that address would fail.
  if (instance !== undefined && instance.status !== "RUNNING") return instance.internalIp;
  throw new KhwError(
    "INVALID_ARGUMENT",
    instance === undefined ? "its address is unknown" : `the instance has no ${gce.nodeAddresses} address`,
    {
      node: spec.name,
      hint: `use --nodes ${spec.name}=ADDRESS, or choose the other kind of address with --node-addresses`,
    },
  );
}

/**
 * Returns the error for a node that was removed from the cluster and whose certificate was revoked. The node is not
 * contacted.
 */
function removedError({ name }: NodeSpec): KhwError {
  return new KhwError("WRONG_NODE", "the node was removed from the cluster, and its certificate is revoked", {
    node: name,
    hint: `take ${name} out of khw.yaml and --nodes; to use the machine again, run khw-client enrol --readmit`,
  });
}

/** Returns the error for a machine that is not running. */
function powerError({ name, status, zone }: ResolvedInstance): KhwError | undefined {
  if (status === "RUNNING") return undefined;
  const hint = `gcloud compute instances start ${name} --zone ${zone}`;
  return new KhwError("UNREACHABLE", `the instance's state is ${status}`, { node: name, hint });
}
