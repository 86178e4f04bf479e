import type { AgentNode } from "../cluster/agent-client.ts";
import type { NodeWork } from "./node-work.ts";
import { withoutContent } from "../config/desired.ts";

/** What an existing cluster is spared. */
export interface Serving {
  /** Those whose API server serves now. */
  readonly serving: ReadonlySet<AgentNode>;
  /** To be worked on one after the other. */
  readonly spare: ReadonlySet<AgentNode>;
  /** Taken out of rotation before, by whoever asked for it: they stay so. */
  readonly drained: ReadonlySet<AgentNode>;
}

/**
 * Spared are the nodes whose API server (or member of etcd) serves now and would be restarted: were all of these worked on at
 * once, a cluster that is in use would be without an API (or a quorum) for as long as they take.
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
