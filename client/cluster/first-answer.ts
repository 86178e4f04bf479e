import type { AgentNode } from "./agent-client.ts";

/**
 * Asks the nodes in turn, and returns the first answer.
 * @throws KhwError with the last node's error
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
