import { KhwError } from "../../proto/errors.ts";
import type { StepEvent } from "../../proto/step.ts";
import type { Cloud } from "../cluster/open.ts";
import type { HealthState } from "../gce/health.ts";
import { type Look, pause, waitFor } from "../../proto/wait-for.ts";
import type { AgentNode } from "../cluster/agent-client.ts";
import { phase } from "../progress/phase.ts";

/** In milliseconds. */
export interface DrainTimeouts {
  /** The time limit for the load balancer's health check to show the new state. */
  readonly verify: number;
  /**
   * The time that connections get to deliver their request if the load balancer sent them at the last moment. A
   * stopping API server answers the requests that it has received and cuts off the others. No API reports the end of
   * this phase.
   */
  readonly drain: number;
}

export interface DrainNodeOptions {
  /** Undefined if khw manages no load balancer for the cluster. */
  readonly cloud: Cloud | undefined;
  readonly timeouts: DrainTimeouts;
  readonly signal: AbortSignal;
  readonly emit: (event: StepEvent) => void;
}

/** The API sends no notifications, so the health is polled at this interval. */
const askMillis = 500;

/**
 * Drains the node, and waits until the load balancer sends it no new connections. Open connections continue.
 * @throws KhwError TIMEOUT with the last answer of the health check; the node is drained by then
 */
export async function leave(node: AgentNode, options: DrainNodeOptions): Promise<void> {
  await phase({ id: "drain", summary: "node is being drained" }, options.emit, async (progress) => {
    await node.setMaintenance(true, options.signal);
    await agreed(node, (state) => state !== "HEALTHY", { ...options, progress });
    if (options.cloud === undefined) return;
    progress("running requests finish");
    await pause(options.timeouts.drain, options.signal);
  });
}

/**
 * Undrains the node, and waits until the load balancer sends it connections.
 * @throws KhwError TIMEOUT with the last answer of the health check; the node is no longer drained by then
 */
export async function enter(node: AgentNode, options: DrainNodeOptions): Promise<void> {
  await phase({ id: "undrain", summary: "node is being undrained" }, options.emit, async (progress) => {
    await node.setMaintenance(false, options.signal);
    await agreed(node, (state) => state === "HEALTHY", { ...options, progress });
  });
}

interface Agreement extends DrainNodeOptions {
  readonly progress: (text: string) => void;
}

async function agreed(
  { address: { name } }: AgentNode,
  wanted: (state: HealthState) => boolean,
  { cloud, timeouts, signal, progress }: Agreement,
): Promise<void> {
  if (cloud === undefined) return;
  const { poolHealth } = await import("../gce/health.ts");
  const loadBalancer = {
    ...cloud.loadBalancer,
    instances: cloud.loadBalancer.instances.filter((instance) => instance.name === name),
  };
  const check = async (): Promise<Look<void>> => {
    const [{ state } = { state: "MISSING" as const }] = await poolHealth(cloud.compute, loadBalancer, signal);
    if (wanted(state)) return { reached: undefined };
    if (state === "MISSING") throw missing(name, loadBalancer.targetPool);
    return { seen: state };
  };
  await waitFor({
    what: "Google's health check has not changed",
    check,
    deadlineMillis: timeouts.verify,
    intervalMillis: askMillis,
    signal,
    progress: (state) => progress(`Google's health check reports ${state}`),
    late: ({ seen }) => disagrees(name, seen, timeouts.verify),
  });
}

function missing(node: string, pool: string): KhwError {
  return new KhwError("COMPUTE_DRIFT", `it is not in the target pool ${pool}`, {
    node,
    hint: "run khw-client lb create to add it",
  });
}

function disagrees(node: string, state: string, waitMillis: number): KhwError {
  return new KhwError("TIMEOUT", `Google's health check still reports ${state} after ${waitMillis / 1000} s`, {
    node,
    hint: "run khw-client status for the state of nginx and the API server, or wait longer with --verify-timeout",
  });
}
