import { KhwError } from "../../proto/errors.ts";
import type { Member } from "./open.ts";
import { parseNodes } from "../config/nodes.ts";

/**
 * Returns the members that a command's arguments name, in the order of the arguments, without duplicates. An argument
 * is a list such as `controller-0,1`, or a single name.
 * @throws KhwError INVALID_ARGUMENT for text that is not a node name, or for a node that is not in the cluster
 */
export function selectNodes(members: readonly Member[], texts: readonly string[]): Member[] {
  const known = members.map(({ node }) => node.address.name);
  const names = new Set(texts.flatMap((text) => parseNodes("node", text).map(({ name }) => name)));
  return [...names].map((name) => {
    const member = members.find(({ node }) => node.address.name === name);
    if (member !== undefined) return member;
    throw new KhwError("INVALID_ARGUMENT", `${name} is not a node of the cluster`, {
      hint: `the nodes are: ${known.join(", ")}`,
    });
  });
}
