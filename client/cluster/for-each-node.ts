import pLimit from "p-limit";
import { type KhwError, toKhwError } from "../../proto/errors.ts";
import type { Member } from "./open.ts";
import type { AgentNode } from "./agent-client.ts";

/** The result of the work on a node: a value, or an error. */
export type NodeAnswer<Value> =
  | { readonly name: string; readonly value: Value; readonly error?: undefined }
  | { readonly name: string; readonly error: KhwError; readonly value?: undefined };

/** The default number of nodes to work on at once. A command may use a different number. */
export const maxConcurrentNodes = 50;

/**
 * Does the work on every member, for at most `limit` members at a time. Returns the answers in the order of the
 * members. Does not retry a node that could not be reached earlier. A failure on one node does not affect the other
 * nodes' answers. Never rejects.
 */
export async function forEachNode<Value, Item extends Member = Member>(
  members: readonly Item[],
  limit: number,
  work: (node: AgentNode, item: Item) => Promise<Value>,
): Promise<NodeAnswer<Value>[]> {
  return pLimit(limit).map(members, (item) => callNode(item, work));
}

async function callNode<Value, Item extends Member>(
  item: Item,
  work: (node: AgentNode, item: Item) => Promise<Value>,
): Promise<NodeAnswer<Value>> {
  const { node, error } = item;
  const { name } = node.address;
  if (error !== undefined) return { name, error };
  try {
    return { name, value: await work(node, item) };
  } catch (thrown) {
    return { name, error: toKhwError(thrown).at({ node: name }) };
  }
}
