import type { OpenCluster } from "../cluster/open.ts";
import { whyNotBegun } from "./skipped.ts";
import type { Progress } from "../progress/progress.ts";
import { rollout } from "./apply.ts";
import type { NodeOutcome, NodeWork } from "./node-work.ts";
import type { Serving } from "./restart-order.ts";

export interface RollNodesOptions {
  readonly progress: Progress;
  /** Ctrl-C: the current node is finished, and no other is begun. */
  readonly signal: AbortSignal;
  readonly serving: Serving;
}

/** Work that has begun ends by its own deadline, not by Ctrl-C. */
const never = new AbortController().signal;

/**
 * Applies to the nodes that serve one after the other until the first failure; a node is drained if its API server
 * would restart. The nodes that do not serve come before, all at once.
 */
export async function rollNodes(
  { config, cloud, members }: OpenCluster,
  work: readonly NodeWork[],
  { signal, progress, serving }: RollNodesOptions,
): Promise<NodeOutcome[]> {
  if (work.length === 1 && serving.spare.size === 1) progress.emit({ kind: "note", text: aloneNote });
  progress.emit({ kind: "begin", tracks: work.map(({ node }) => node.address.name) });
  const finishing = (): void => progress.emit({ kind: "note", text: interruptedNote });
  signal.addEventListener("abort", finishing, { once: true });
  const rotation = { cloud, members, timeouts: config.timeouts };
  const options = { progress, signal: never, timeoutMillis: config.timeouts.node, rotation };
  const inTurn = ({ node }: NodeWork): boolean => serving.serving.has(node) || serving.spare.has(node);
  // The others come first and at once: they may need each other, and a change that breaks them spares these.
  const outcomes = await rollout(
    work.filter((item) => !inTurn(item)),
    { ...options, spare: new Set() },
  );
  for (const item of work.filter(inTurn)) {
    const { node } = item;
    const error = whyNotBegun(node, { outcomes, signal });
    if (error !== undefined) {
      progress.emit({ kind: "end", track: node.address.name, changed: 0, error });
      outcomes.push({ node, changed: 0, error });
      continue;
    }
    const spare = new Set(serving.spare.has(node) ? [node] : []);
    outcomes.push(...(await rollout([item], { ...options, spare })));
  }
  signal.removeEventListener("abort", finishing);
  await progress.settled();
  return outcomes;
}

const aloneNote =
  "there is no other API server: the API is away for as long as this one takes to restart, some seconds";
const interruptedNote = "interrupted: the node in hand is finished and taken back in first";
