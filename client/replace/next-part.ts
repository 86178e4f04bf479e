import { KhwError } from "../../proto/errors.ts";
import type { Pair } from "./pair.ts";

/** The facts that show how far a replacement has come. */
export interface Standing {
  /** Whether etcd has a member of the old controller. */
  readonly oldIsMember: boolean;
  /** Whether the member of the successor can vote. */
  readonly successorVotes: boolean;
  /** Whether requests reach the API server of the successor. */
  readonly successorServes: boolean;
  readonly oldIsDrained: boolean;
}

type Names = Pick<Pair, "old" | "successor" | "after">;

/**
 * Returns the next part of a replacement. The order is "add", "remove". A removal begins by draining the old controller,
 * so a drained controller beside a serving successor is not bootstrapped again.
 * @throws KhwError ETCD_CONFLICT if the old node is not a controller of the cluster
 */
export function nextPart(names: Names, standing: Standing): "add" | "remove" {
  const { oldIsMember, successorVotes, successorServes, oldIsDrained } = standing;
  if (!oldIsMember && !successorVotes) throw notAController(names);
  return !oldIsMember || (successorVotes && successorServes && oldIsDrained) ? "remove" : "add";
}

/**
 * Returns the next part of the replacement of a dead controller. The order is "remove", "add", because etcd accepts no
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

function notAController({ old, successor, after }: Names): KhwError {
  return new KhwError(
    "ETCD_CONFLICT",
    `${old} is not a controller of this cluster, so ${successor} cannot replace it`,
    {
      hint: `to add ${successor} only, run \`khw-client bootstrap --nodes ${after.map(({ name }) => name).join(",")}\``,
    },
  );
}
