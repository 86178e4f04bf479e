import { KhwError } from "../../proto/errors.ts";
import type { Controller } from "../../proto/desired.ts";
import { peerUrl } from "../../proto/etcd.ts";
import type { EtcdPeer } from "../../proto/gen/khw/agent/v1/etcd.ts";
import type { NodeSpec } from "../config/nodes.ts";
import type { Pair } from "./pair.ts";

/** The facts that show how far a replacement has progressed. */
export interface Standing {
  /** Whether the old controller is still a member of etcd. */
  readonly oldIsMember: boolean;
  /** Whether the successor's etcd member can vote. */
  readonly successorVotes: boolean;
  /** Whether requests reach the successor's API server. */
  readonly successorServes: boolean;
  readonly oldIsDrained: boolean;
}

type Names = Pick<Pair, "old" | "successor" | "after">;

/**
 * Returns the next part of a replacement. "add" comes before "remove". A removal begins with draining the old
 * controller. Therefore, if the old controller is drained and the successor is serving, the removal continues.
 * @throws KhwError ETCD_CONFLICT if the old node is not a controller of the cluster
 */
export function nextPart(names: Names, standing: Standing): "add" | "remove" {
  const { oldIsMember, successorVotes, successorServes, oldIsDrained } = standing;
  if (!oldIsMember && !successorVotes) throw notAController(names);
  return !oldIsMember || (successorVotes && successorServes && oldIsDrained) ? "remove" : "add";
}

/**
 * Returns the next part of the replacement of a dead controller. "remove" comes before "add", because etcd accepts no
 * new member while another member is unhealthy.
 * @throws KhwError ETCD_CONFLICT if the old node is not a controller of the cluster
 */
export function nextPartDead(
  names: Names,
  { oldIsMember, isKnown }: Pick<Standing, "oldIsMember"> & { readonly isKnown: boolean },
): "add" | "remove" {
  if (!oldIsMember && !isKnown) throw notAController(names);
  return oldIsMember ? "remove" : "add";
}

/** The nodes during the removal of a dead controller, and the successor if its member is already a learner. */
export interface Present {
  readonly nodes: readonly NodeSpec[];
  readonly learner: Controller | undefined;
}

/**
 * Returns the nodes that the cluster has before a dead controller is removed. An earlier run without --dead may have
 * added the successor to etcd, as a learner or as a voting member.
 */
export function presentNodes(
  { both, successor: name }: Pick<Pair, "both" | "successor">,
  successor: Controller | undefined,
  members: readonly EtcdPeer[],
): Present {
  const url = successor === undefined ? undefined : peerUrl(successor);
  const member = members.find(({ peerUrls }) => url !== undefined && peerUrls.includes(url));
  if (member !== undefined && !member.learner) return { nodes: both, learner: undefined };
  return { nodes: both.filter((node) => node.name !== name), learner: member && successor };
}

function notAController({ old, successor, after }: Names): KhwError {
  return new KhwError(
    "ETCD_CONFLICT",
    `${old} is not a controller of this cluster, so ${successor} cannot replace it`,
    {
      hint: `to add ${successor} only, run \`khw-client bootstrap --nodes ${after.map(({ name }) => name).join(",")}\``,
    },
  );
}
