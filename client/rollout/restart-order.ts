import { KhwError } from "../../proto/errors.ts";
import type { AgentNode } from "../cluster/agent-client.ts";
import { isLeft } from "../../proto/drain.ts";
import { Health, type Maintenance } from "../../proto/gen/khw/agent/v1/agent.ts";
import { type Look, waitAtMost } from "../../proto/wait-for.ts";
import type { NodeWork } from "../cluster/node-work.ts";
import { withoutContent } from "../config/desired.ts";

/** The nodes that need special handling in an existing cluster. */
export interface RestartOrder {
  /** The nodes whose API servers are serving now. */
  readonly serving: ReadonlySet<AgentNode>;
  /** The nodes to work on one at a time. */
  readonly restarting: ReadonlySet<AgentNode>;
  /** The nodes that someone drained manually; they stay drained. */
  readonly drained: ReadonlyMap<AgentNode, Maintenance>;
  /** The nodes that an earlier rolling update left drained; they are undrained. */
  readonly left: ReadonlySet<AgentNode>;
}

/** The facts that determine when a node is updated. */
export interface NodeRestart {
  readonly node: AgentNode;
  readonly serves: boolean;
  readonly restarts: boolean;
  readonly maintenance: Maintenance | undefined;
}

/** The components whose restarts affect clients. */
const watched = ["kube-apiserver", "etcd"] as const;
type Watched = (typeof watched)[number];

/**
 * How long a running component may take to become healthy again before it counts as down. The agent probes its
 * components every few seconds.
 */
const longestSettleMillis = 15_000;

export interface SettleOptions {
  readonly signal: AbortSignal;
  /** Default: `longestSettleMillis`. */
  readonly settleMillis?: number;
}

/** The agent's step for the KMS plugin. An older agent ignores the plugin, so that agent's plan lacks this step. */
const kmsStep = "kms/plugin";

/**
 * Returns whether the node's API server or etcd member is serving now and would restart. Working on all such nodes at
 * once would leave a running cluster without an API or without a quorum. On a busy machine, a single health check can
 * fail, so a running component has 15 s to become healthy.
 * @throws KhwError VERSION_SKEW if the agent is too old for a part of the desired state
 */
export async function readRestart(
  { node, desired, maintenance }: NodeWork,
  { signal, settleMillis = longestSettleMillis }: SettleOptions,
): Promise<NodeRestart> {
  const { steps } = await node.plan(withoutContent(desired), signal);
  if (desired.kms !== undefined && !steps.some(({ id }) => id === kmsStep)) {
    throw new KhwError("VERSION_SKEW", "its agent is too old to watch the KMS plugin in encryption.kms", {
      hint: "upgrade the agent: khw-client agent upgrade --deb FILE",
    });
  }
  const differs = (id: string): boolean => steps.some((step) => step.id === id && step.drift !== undefined);
  const failing = watched.filter((component) => differs(`ready/${component}`));
  const down = failing.length === 0 ? [] : await unhealthy(node, failing, { signal, settleMillis });
  const restarts = watched.some((component) => !down.includes(component) && differs(`service/${component}`));
  return { node, serves: !down.includes("kube-apiserver"), restarts, maintenance };
}

/**
 * Returns the components that are not running, or that stay unhealthy although they are running. Asks the agent for its
 * own latest probes, because these do not depend on the check that has just failed.
 */
async function unhealthy(
  node: AgentNode,
  failing: readonly Watched[],
  { signal, settleMillis }: Required<SettleOptions>,
): Promise<readonly Watched[]> {
  let down = failing;
  const check = async (): Promise<Look<void>> => {
    const { components } = await node.status(signal);
    const states = components.filter(({ name }) => down.some((component) => component === name));
    down = down.filter((name) => states.find((state) => state.name === name)?.health !== Health.HEALTH_HEALTHY);
    const waits = states.some(({ name, pid }) => pid !== 0 && down.some((component) => component === name));
    return waits ? { seen: down.join(", ") } : { reached: undefined };
  };
  await waitAtMost({ check, deadlineMillis: settleMillis, intervalMillis: 1_000, signal });
  return down;
}

export function restartOrder(nodes: readonly NodeRestart[]): RestartOrder {
  return {
    serving: new Set(nodes.flatMap(({ node, serves }) => (serves ? node : []))),
    restarting: new Set(nodes.flatMap(({ node, restarts }) => (restarts ? node : []))),
    drained: new Map(
      nodes.flatMap(({ node, maintenance }) =>
        maintenance?.drained === true && !isLeft(maintenance) ? [[node, maintenance]] : [],
      ),
    ),
    left: new Set(nodes.flatMap(({ node, maintenance }) => (isLeft(maintenance) ? node : []))),
  };
}
