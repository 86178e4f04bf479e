import { toKhwError } from "../../proto/errors.ts";
import type { GetStatusResponse } from "../../proto/gen/khw/agent/v1/agent.ts";
import type { Cloud, Member } from "../cluster/open.ts";
import type { AgentNode } from "../cluster/agent-client.ts";
import { maxConcurrentNodes, forEachNode } from "../cluster/for-each-node.ts";
import type { ClusterState, LoadBalancerState } from "./state.ts";

/**
 * Reads all nodes and the load balancer at once. Never rejects: if a read fails, the result contains the error instead
 * of an answer.
 */
export async function readCluster(
  members: readonly Member[],
  cloud: Cloud | undefined,
  signal: AbortSignal,
): Promise<ClusterState> {
  const [answers, loadBalancer] = await Promise.all([
    forEachNode(members, maxConcurrentNodes, (node) => readNode(node, signal)),
    cloud === undefined ? undefined : readLoadBalancer(cloud, members, signal),
  ]);
  return { nodes: answers.map(({ name, value, error }) => ({ node: name, status: value, error })), loadBalancer };
}

/**
 * Reading the status can take a long time, for example while a component hangs. GetInfo is called at the same time: if
 * this much shorter call times out, the agent is unreachable.
 */
async function readNode(node: AgentNode, signal: AbortSignal): Promise<GetStatusResponse> {
  const leaving = new AbortController();
  const asking = AbortSignal.any([signal, leaving.signal]);
  const away = Promise.withResolvers<never>();
  node.info(asking).catch((error: unknown) => away.reject(toKhwError(error)));
  try {
    return await Promise.race([node.status(asking), away.promise]);
  } finally {
    leaving.abort();
    away.promise.catch(() => {});
  }
}

/** Reads the members' health from the load balancer. */
export async function readLoadBalancer(
  { compute, loadBalancer }: Cloud,
  members: readonly Member[],
  signal: AbortSignal,
): Promise<LoadBalancerState> {
  const names = new Set(members.map(({ node }) => node.address.name));
  const instances = loadBalancer.instances.filter(({ name }) => names.has(name));
  try {
    const { poolHealth } = await import("../gce/health.ts");
    return { backends: await poolHealth(compute, { ...loadBalancer, instances }, signal) };
  } catch (error) {
    return { backends: [], error: toKhwError(error) };
  }
}
