import { KhwError } from "../../proto/errors.ts";
import type { AgentNode } from "../cluster/agent-client.ts";
import { isLeft } from "../../proto/drain.ts";
import type { Maintenance } from "../../proto/gen/khw/agent/v1/agent.ts";
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

/** The agent's step for the KMS plugin. An older agent ignores the plugin, so that agent's plan lacks this step. */
const kmsStep = "kms/plugin";

/**
 * Returns whether the node's API server or etcd member is serving now and would restart. Working on all such nodes at
 * once would leave a running cluster without an API or without a quorum.
 * @throws KhwError VERSION_SKEW if the agent is too old for a part of the desired state
 */
export async function readRestart({ node, desired, maintenance }: NodeWork, signal: AbortSignal): Promise<NodeRestart> {
  const { steps } = await node.plan(withoutContent(desired), signal);
  if (desired.kms !== undefined && !steps.some(({ id }) => id === kmsStep)) {
    throw new KhwError("VERSION_SKEW", "its agent is too old to watch the KMS plugin in encryption.kms", {
      hint: "upgrade the agent: khw-client agent upgrade --deb FILE",
    });
  }
  const differs = (id: string): boolean => steps.some((step) => step.id === id && step.drift !== undefined);
  const serves = !differs("ready/kube-apiserver");
  const restarts = (component: string): boolean => !differs(`ready/${component}`) && differs(`service/${component}`);
  return { node, serves, restarts: restarts("kube-apiserver") || restarts("etcd"), maintenance };
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
