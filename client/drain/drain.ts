import { KhwError } from "../../proto/errors.ts";
import type { DrainReason } from "../../proto/gen/khw/agent/v1/agent.ts";
import type { StepEvent } from "../../proto/step.ts";
import type { Cloud } from "../cluster/open.ts";
import { type Look, pause, waitFor } from "../../proto/wait-for.ts";
import type { AgentNode } from "../cluster/agent-client.ts";
import { phase } from "../progress/phase.ts";
import { refuseDrained, staysDrained } from "./drained.ts";

/** The time limits for draining and undraining, in milliseconds. */
export interface DrainTimeouts {
  /** The time limit for the load balancer's health check to show the node's new state. */
  readonly verify: number;
  /**
   * The time allowed for late connections from the load balancer to deliver their requests. An API server that is
   * stopping answers the requests that it has received and drops all later requests. No API reports when the last
   * request has been delivered.
   */
  readonly drain: number;
}

export interface DrainNodeOptions {
  /** The initiator of the drain: a person, or a command as part of its work. */
  readonly reason: DrainReason;
  /** Undefined if khw does not manage a load balancer for the cluster. */
  readonly cloud: Cloud | undefined;
  readonly timeouts: DrainTimeouts;
  readonly signal: AbortSignal;
  readonly emit: (event: StepEvent) => void;
}

/** The Compute API sends no notifications, so the node's health is polled at this interval. */
const askMillis = 500;

/**
 * Drains the node, and waits until the load balancer stops sending it new connections. Open connections stay open.
 * @throws KhwError TIMEOUT with the last result of the health check; the node stays drained
 */
export async function leave(node: AgentNode, options: DrainNodeOptions): Promise<void> {
  await phase({ id: "drain", summary: "node is being drained" }, options.emit, async (progress) => {
    await node.setMaintenance({ drained: true, reason: options.reason }, options.signal);
    await agreed(node, { ...options, drained: true, progress });
    if (options.cloud === undefined) return;
    progress("waiting until running requests finish");
    await pause(options.timeouts.drain, options.signal);
  });
}

/**
 * Undrains the node, and waits until the load balancer sends it connections again.
 * @throws KhwError DRAINED if a person drained the node in the meantime; TIMEOUT with the last result of the health
 * check; the node stays undrained
 */
export async function enter(node: AgentNode, options: DrainNodeOptions): Promise<void> {
  await phase({ id: "undrain", summary: "node is being undrained" }, options.emit, async (progress) => {
    const maintenance = await node.setMaintenance({ drained: false, reason: options.reason }, options.signal);
    if (maintenance.drained) throw staysDrained(node.address.name, maintenance);
    await agreed(node, { ...options, drained: false, progress });
  });
}

interface Agreement extends DrainNodeOptions {
  /** Whether the load balancer should stop sending connections to the node. */
  readonly drained: boolean;
  readonly progress: (text: string) => void;
}

async function agreed(node: AgentNode, { cloud, timeouts, signal, progress, drained }: Agreement): Promise<void> {
  const { name } = node.address;
  if (cloud === undefined) return;
  const { poolHealth } = await import("../gce/health.ts");
  const loadBalancer = {
    ...cloud.loadBalancer,
    instances: cloud.loadBalancer.instances.filter((instance) => instance.name === name),
  };
  const check = async (): Promise<Look<void>> => {
    const [{ state } = { state: "MISSING" as const }] = await poolHealth(cloud.compute, loadBalancer, signal);
    if ((state === "HEALTHY") !== drained) return { reached: undefined };
    if (state === "MISSING") throw missing(name, loadBalancer.targetPool);
    if (!drained) await refuseDrained(node, signal);
    return { seen: state };
  };
  await waitFor({
    what: "the result of Google's health check has not changed",
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
    hint: "to add the node, run khw-client lb create",
  });
}

function disagrees(node: string, state: string, waitMillis: number): KhwError {
  return new KhwError("TIMEOUT", `Google's health check still reports ${state} after ${waitMillis / 1000} s`, {
    node,
    hint: "to see the state of nginx and the API server, run khw-client status; to wait longer, use --verify-timeout",
  });
}
