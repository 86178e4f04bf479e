import { KhwError } from "../../proto/errors.ts";
import type { Member } from "../cluster/open.ts";
import type { NodeWork } from "../rollout/node-work.ts";

/**
 * Returns the nodes on which a first member of khw's etcd would start while another controller does not answer.
 * That controller may have the data of a cluster, and these nodes, if they were created again, would start a second
 * cluster.
 */
export function uncertainFirstStarts(members: readonly Member[], work: readonly NodeWork[]): KhwError[] {
  const away = members.filter(({ info }) => info === undefined).map(({ node }) => node.address.name);
  if (away.length === 0) return [];
  return work.flatMap(({ node, desired }) => {
    const begun = members.find((member) => member.node === node)?.info?.etcdBegun;
    if (desired.etcd === undefined || begun === true) return [];
    const names = away.join(", ");
    const what = `this node has no etcd member yet, and ${names} does not answer whether a cluster exists`;
    return new KhwError("PREFLIGHT_FAILED", what, {
      node: node.address.name,
      hint: `repair ${names}, or replace it with a machine of the same name and address; then run the command again`,
    });
  });
}
