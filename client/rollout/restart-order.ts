import type { AgentNode } from "../cluster/agent-client.ts";
import type { NodeWork } from "./node-work.ts";
import { withoutContent } from "../config/desired.ts";

/** The nodes that need care in an existing cluster. */
export interface Serving {
  /** The nodes whose API server serves now. */
  readonly serving: ReadonlySet<AgentNode>;
  /** The nodes to work on one after the other. */
  readonly spare: ReadonlySet<AgentNode>;
  /** The nodes that were drained before; they stay drained. */
  readonly drained: ReadonlySet<AgentNode>;
}

/**
 * Returns the nodes whose API server or etcd member serves now and would restart. Working on all of them at once
 * would leave a cluster in use without an API or without quorum.
 */
export async function nodesToSpare(work: readonly NodeWork[], signal: AbortSignal): Promise<Serving> {
  const nodes = await Promise.all(
    work.map(async ({ node, desired }) => {
      const { steps } = await node.plan(withoutContent(desired), signal);
      const differs = (id: string): boolean => steps.some((step) => step.id === id && step.drift !== undefined);
      const serves = !differs("ready/kube-apiserver");
      // A machine that is no controller yet is not drained either.
      const drained = serves && (await node.status(signal)).maintenance?.drained === true;
      const restarts = (component: string): boolean =>
        !differs(`ready/${component}`) && differs(`service/${component}`);
      return { node, serves, spare: restarts("kube-apiserver") || restarts("etcd"), drained };
    }),
  );
  return {
    serving: new Set(nodes.flatMap(({ node, serves }) => (serves ? node : []))),
    spare: new Set(nodes.flatMap(({ node, spare }) => (spare ? node : []))),
    drained: new Set(nodes.flatMap(({ node, drained }) => (drained ? node : []))),
  };
}
