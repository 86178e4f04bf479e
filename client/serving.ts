import type { AgentNode } from "./node.ts";
import type { NodeWork } from "./rollout.ts";
import { withoutContent } from "./config/desired.ts";

/**
 * The nodes whose API server serves now and would be restarted: were all of these worked on at once, a cluster that is in
 * use would be without an API for as long as they take.
 */
export async function nodesToSpare(work: readonly NodeWork[], signal: AbortSignal): Promise<ReadonlySet<AgentNode>> {
  const serving = await Promise.all(
    work.map(async ({ node, desired }) => {
      const { steps } = await node.plan(withoutContent(desired), signal);
      const differs = (id: string): boolean => steps.some((step) => step.id === id && step.drift !== undefined);
      return differs("service/kube-apiserver") && !differs("ready/kube-apiserver") ? [node] : [];
    }),
  );
  return new Set(serving.flat());
}
