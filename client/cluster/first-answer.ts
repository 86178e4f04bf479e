import type { AgentNode } from "./agent-client.ts";

/**
 * Asks the nodes in turn, and returns the first answer.
 * @throws the last node's error if no node answers
 */
export async function firstAnswer<Answer>(
  nodes: readonly AgentNode[],
  ask: (node: AgentNode) => Promise<Answer>,
  signal: AbortSignal,
): Promise<Answer> {
  let failure: unknown;
  for (const node of nodes) {
    try {
      return await ask(node);
    } catch (error) {
      signal.throwIfAborted();
      failure = error;
    }
  }
  throw failure;
}
