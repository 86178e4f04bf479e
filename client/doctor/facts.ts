import type { Controller } from "../../proto/desired.ts";
import { KhwError } from "../../proto/errors.ts";
import type { GetInfoResponse, GetStatusResponse } from "../../proto/gen/khw/agent/v1/agent.ts";
import { type ClockReading, readClock } from "../cluster/clock-skew.ts";
import { controllersOf, type OpenCluster } from "../cluster/open.ts";
import type { ClusterConfig } from "../config/schema.ts";
import { type ExaminedCredentials, examineCredentials } from "../pki/check/read.ts";
import type { BackendHealth } from "../gce/health.ts";
import type { AgentNode } from "../cluster/agent-client.ts";
import { type NodeAnswer, maxConcurrentNodes, forEachNode } from "../cluster/for-each-node.ts";
import { findPublicAddress } from "../rollout/addresses.ts";

/** The data that a node reports about itself. */
export interface NodeFacts {
  readonly info: GetInfoResponse;
  readonly clock: ClockReading;
  readonly status: GetStatusResponse;
}

/**
 * The data that several checks share. Each item is fetched once, when the first check needs it. If the fetch fails, all
 * checks that need the item fail.
 */
export interface Facts {
  readonly config: ClusterConfig;
  readonly clientVersion: string;
  readonly cluster: OpenCluster;
  /** Returns all nodes' answers, in the order in which the configuration lists the nodes. */
  readonly nodes: () => Promise<readonly NodeAnswer<NodeFacts>[]>;
  readonly publicAddress: () => Promise<string>;
  /** Returns the credentials after checking them against the nodes whose addresses are known. */
  readonly credentials: () => Promise<ExaminedCredentials & { readonly unknown: readonly string[] }>;
  /** Returns the health that the load balancer reports for each node; empty if khw does not manage a load balancer. */
  readonly backends: () => Promise<readonly BackendHealth[]>;
}

export interface FactsOptions {
  readonly cluster: OpenCluster;
  readonly clientVersion: string;
  readonly signal: AbortSignal;
}

export function collectFacts({ cluster, clientVersion, signal }: FactsOptions): Facts {
  const { config, cloud, members } = cluster;
  const nodes = once(() => forEachNode(members, maxConcurrentNodes, (node) => readNode(node, signal)));
  const publicAddress = once(() => findPublicAddress(cluster, { signal, mayCreateAddress: false }));
  const backends = once(async () => {
    if (cloud === undefined) return [];
    const { poolHealth } = await import("../gce/health.ts");
    return poolHealth(cloud.compute, cloud.loadBalancer, signal);
  });
  const credentials = once(async () => {
    const [answers, address] = await Promise.all([nodes(), publicAddress()]);
    const { controllers, unknown } = addressed(cluster, answers);
    return { ...(await examineCredentials(config, { controllers, publicAddress: address })), unknown };
  });
  return { config, clientVersion, cluster, nodes, publicAddress, credentials, backends };
}

/** Returns the members with their answers to GetInfo. */
export function greeted({ members }: OpenCluster, answers: readonly NodeAnswer<NodeFacts>[]): OpenCluster["members"] {
  return members.map(({ node }, index) => {
    const { value, error } = answers[index] ?? {};
    if (value !== undefined) return { node, info: value.info };
    return error === undefined ? { node } : { node, error };
  });
}

/** Returns the nodes whose internal addresses are known, and the names of all other nodes. */
function addressed(
  cluster: OpenCluster,
  answers: readonly NodeAnswer<NodeFacts>[],
): { readonly controllers: readonly Controller[]; readonly unknown: readonly string[] } {
  const members = greeted(cluster, answers);
  const unknown: string[] = [];
  const controllers = cluster.config.nodes.flatMap((node, index) => {
    const config = { ...cluster.config, nodes: [node] };
    try {
      return controllersOf({ ...cluster, config, members: members.slice(index, index + 1) });
    } catch {
      unknown.push(node.name);
      return [];
    }
  });
  return { controllers, unknown };
}

/** Calls GetInfo first, so that an unreachable agent costs only one call. */
async function readNode(node: AgentNode, signal: AbortSignal): Promise<NodeFacts> {
  const { answer: info, clock } = await readClock(node.address.name, () => node.info(signal));
  return { info, clock, status: await node.status(signal) };
}

/**
 * Returns the named node's answers.
 * @throws KhwError with the reason why the node did not answer
 */
export async function factsOf({ nodes }: Facts, name: string): Promise<NodeFacts> {
  const answer = (await nodes()).find((one) => one.name === name);
  if (answer?.value !== undefined) return answer.value;
  throw answer?.error ?? new KhwError("UNREACHABLE", "its agent was not called", { node: name });
}

/** Returns the named node's answers; undefined if the node did not answer. */
export async function saidBy({ nodes }: Facts, name: string): Promise<NodeFacts | undefined> {
  return (await nodes()).find((one) => one.name === name)?.value;
}

/**
 * Returns the nodes that answered.
 * @throws KhwError UNREACHABLE if no node answered
 */
export async function answered({ nodes }: Facts): Promise<readonly (NodeFacts & { readonly name: string })[]> {
  const found = (await nodes()).flatMap(({ name, value }) => (value === undefined ? [] : [{ name, ...value }]));
  if (found.length > 0) return found;
  throw new KhwError("UNREACHABLE", "no agent answers");
}

function once<Value>(ask: () => Promise<Value>): () => Promise<Value> {
  let asked: Promise<Value> | undefined;
  return () => (asked ??= ask());
}
