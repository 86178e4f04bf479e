import { KhwError } from "../../proto/errors.ts";
import { refuseFindings } from "../cluster/combine-errors.ts";
import type { OpenCluster } from "../cluster/open.ts";
import { isDrained, readServingStates, serves } from "../drain/serving-state.ts";
import { readEtcd } from "../etcd/overview.ts";
import { findMembers } from "../remove/membership.ts";
import { nextPart } from "./next-part.ts";
import type { Pair } from "./pair.ts";

/**
 * Returns the next part of the replacement of a live controller. All agents must answer, except a successor's agent
 * that is not enrolled yet.
 */
export async function readLive(
  cluster: Pick<OpenCluster, "members" | "cloud">,
  pair: Pick<Pair, "old" | "successor" | "after">,
  signal: AbortSignal,
): Promise<"add" | "remove"> {
  const { old, successor } = pair;
  const errors = cluster.members.flatMap(({ node: { address }, error }) => {
    if (error === undefined || (address.name === successor && error.code === "NOT_ENROLLED")) return [];
    if (address.name !== old) return error;
    const hint = `start the machine and its khw-agent; if the machine will not return, add --dead`;
    return new KhwError(error.code, error.message, { node: old, hint });
  });
  refuseFindings(errors);
  const states = await readServingStates(cluster, signal);
  const standing = states.find(({ name }) => name === old);
  // The old controller's answer also counts here, because a single controller is the only member before its successor
  // joins. The removal checks the quorum without the old controller.
  const { leaving, staying } = findMembers(await readEtcd(cluster.members, signal), old);
  return nextPart(pair, {
    oldIsMember: leaving !== undefined,
    successorVotes: staying.some(({ name, learner }) => name === successor && !learner),
    successorServes: states.some((state) => state.name === successor && serves(state)),
    oldIsDrained: standing !== undefined && isDrained(standing),
  });
}
