import pLimit from "p-limit";
import { type KhwError, toKhwError } from "../../proto/errors.ts";
import type { Member } from "./open.ts";
import type { AgentNode } from "./agent-client.ts";

/** The result of the work on a node: a value, or an error. */
export type NodeAnswer<Value> =
  | { readonly name: string; readonly value: Value; readonly error?: undefined }
  | { readonly name: string; readonly error: KhwError; readonly value?: undefined };

/** The number of nodes to work on at once, unless a command has a reason for another number. */
export const maxConcurrentNodes = 50;

/**
 * Does the work on every member, on at most `limit` at once. Returns the answers in the members' order. A node that
 * could not be reached before is not tried. A node that fails does not affect the others' answers. Never rejects.
 */
export async function forEachNode<Value>(
  members: readonly Member[],
  limit: number,
  work: (node: AgentNode) => Promise<Value>,
): Promise<NodeAnswer<Value>[]> {
  return pLimit(limit).map(members, ({ node, error }) => callNode(node, error, work));
}

async function callNode<Value>(
  node: AgentNode,
  error: KhwError | undefined,
  work: (node: AgentNode) => Promise<Value>,
): Promise<NodeAnswer<Value>> {
  const { name } = node.address;
  if (error !== undefined) return { name, error };
  try {
    return { name, value: await work(node) };
  } catch (thrown) {
    return { name, error: toKhwError(thrown).at({ node: name }) };
  }
}
