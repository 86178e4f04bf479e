import { KhwError } from "../../proto/errors.ts";
import { type Look, waitAtMost } from "../../proto/wait-for.ts";
import { type GetStatusResponse, Health } from "../../proto/gen/khw/agent/v1/agent.ts";
import type { Cloud, Member } from "../cluster/open.ts";
import type { HealthState } from "../gce/health.ts";
import { describeDrained } from "./drained.ts";
import { maxConcurrentNodes, forEachNode } from "../cluster/for-each-node.ts";

/** The current state of a controller, as the agent and the load balancer report it. */
export interface ServingState {
  readonly name: string;
  /** Undefined if the agent did not answer. */
  readonly status?: GetStatusResponse | undefined;
  readonly error?: KhwError | undefined;
  /** Undefined if khw does not manage a load balancer. */
  readonly backend?: HealthState | undefined;
}

/**
 * Reads the state of all controllers at once. An agent that does not answer causes no error. A Compute API that does
 * not answer causes an error.
 */
export async function readServingStates(
  { members, cloud }: { readonly members: readonly Member[]; readonly cloud: Cloud | undefined },
  signal: AbortSignal,
): Promise<ServingState[]> {
  const [answers, backends] = await Promise.all([
    forEachNode(members, maxConcurrentNodes, (node) => node.status(signal)),
    cloud === undefined ? [] : readBackends(cloud, signal),
  ]);
  signal.throwIfAborted();
  return answers.map(({ name, value: status, error }) => ({
    name,
    status,
    error,
    backend: backends.find((backend) => backend.name === name)?.state,
  }));
}

/**
 * How long a running API server may take to serve. The agent probes its components every few seconds, and the load
 * balancer uses a node after two successful probes, five seconds apart.
 */
const settleMillis = 30_000;

/**
 * Reads the states before a node is drained. If another API server is running but no other node serves, a probe may
 * have failed because the machine is busy, or the load balancer does not use the other node yet. If so, reads the
 * states again for up to 30 s. Otherwise, khw would update the only serving node without a drain.
 */
export async function readStatesBeforeDrain(
  cluster: { readonly members: readonly Member[]; readonly cloud: Cloud | undefined },
  name: string,
  signal: AbortSignal,
): Promise<ServingState[]> {
  let standings: ServingState[] = [];
  const check = async (): Promise<Look<void>> => {
    standings = await readServingStates(cluster, signal);
    const others = standings.filter((standing) => standing.name !== name && !isDrained(standing));
    if (others.some(serves) || !others.some(runs)) return { reached: undefined };
    return { seen: others.map(whyNot).join("; ") };
  };
  await waitAtMost({ check, deadlineMillis: settleMillis, intervalMillis: 1_000, signal });
  return standings;
}

/** Whether the node's API server is running. */
function runs({ status }: ServingState): boolean {
  return status?.components.some(({ name, pid }) => name === "kube-apiserver" && pid !== 0) === true;
}

async function readBackends({ compute, loadBalancer }: Cloud, signal: AbortSignal) {
  const { poolHealth } = await import("../gce/health.ts");
  return poolHealth(compute, loadBalancer, signal);
}

export function isDrained({ status }: ServingState): boolean {
  return status?.maintenance?.drained === true;
}

export function isHealthy({ status }: ServingState, component: string): boolean {
  return status?.components.some(({ name, health }) => name === component && health === Health.HEALTH_HEALTHY) === true;
}

/**
 * Whether requests reach the node's API server. The API server must be healthy, and the node must not be drained. If
 * there is a load balancer, the node must be a healthy backend.
 */
export function serves(standing: ServingState): boolean {
  const { backend = "HEALTHY" } = standing;
  return isHealthy(standing, "kube-apiserver") && !isDrained(standing) && backend === "HEALTHY";
}

/** Returns the reason why no requests reach the node's API server. */
function whyNot(standing: ServingState): string {
  const { name, status, error, backend } = standing;
  if (status === undefined) return `${name} cannot be reached (${error?.message ?? "no answer"})`;
  const { maintenance } = status;
  if (maintenance?.drained === true) return `${name} is ${describeDrained(maintenance)}`;
  const { reason = "not installed" } = status.components.find((component) => component.name === "kube-apiserver") ?? {};
  if (!isHealthy(standing, "kube-apiserver")) return `${name}'s kube-apiserver is not healthy (${reason})`;
  return `Google's health check reports ${backend ?? "nothing"} for ${name}`;
}

/** Returns an error if the cluster could not serve clients without these nodes; otherwise undefined. */
export function refusalToLeave(standings: readonly ServingState[], leaving: ReadonlySet<string>): KhwError | undefined {
  const others = standings.filter(({ name }) => !leaving.has(name));
  if (others.some(serves) || standings.every((standing) => !leaving.has(standing.name) || isDrained(standing)))
    return undefined;
  const reasons = others.length === 0 ? "the cluster has no other node" : others.map(whyNot).join("; ");
  return new KhwError("WOULD_INTERRUPT", `no other node would be left to serve traffic: ${reasons}`, {
    hint: "bring another node back into service first (see khw-client status and khw-client undrain), or use --force",
  });
}

/**
 * Returns an error if the cluster cannot work while this node's component restarts; otherwise undefined.
 */
export function refusalToRestart(
  standings: readonly ServingState[],
  name: string,
  component: string,
): KhwError | undefined {
  const own = standings.find((standing) => standing.name === name);
  // Restarting a component that is not working does not affect clients.
  if (own === undefined || !isHealthy(own, component)) return undefined;
  const others = standings.filter((standing) => standing !== own);
  switch (component) {
    case "kube-apiserver":
    case "nginx":
      return serves(own) ? refusalToLeave(standings, new Set([name])) : refusalWithoutApi(others);
    case "etcd":
      return refusalWithoutQuorum(standings, others);
    default:
      return undefined;
  }
}

function refusalWithoutApi(others: readonly ServingState[]): KhwError | undefined {
  if (others.some((other) => isHealthy(other, "kube-apiserver"))) return undefined;
  const reasons = others.length === 0 ? "the cluster has no other node" : others.map(whyNot).join("; ");
  return new KhwError("WOULD_INTERRUPT", `no healthy API server would be left: ${reasons}`, {
    hint: "repair another node first (see khw-client status), or use --force",
  });
}

/** etcd needs more than half of its members. */
function refusalWithoutQuorum(
  standings: readonly ServingState[],
  others: readonly ServingState[],
): KhwError | undefined {
  const members = standings.filter(
    ({ status }) => status === undefined || status.components.some(({ name }) => name === "etcd"),
  ).length;
  const left = others.filter((other) => isHealthy(other, "etcd")).length;
  if (left > members / 2) return undefined;
  return new KhwError(
    "WOULD_INTERRUPT",
    `etcd would lose its quorum: ${left} of ${members} members would stay healthy`,
    { hint: "repair another member first (see khw-client status), or use --force" },
  );
}
