import { hasEtcd, type DesiredState } from "../../proto/desired.ts";
import { toKhwError } from "../../proto/errors.ts";
import { clientUrl, peerUrl } from "../../proto/etcd.ts";
import { healthCheckOf, probeHealth } from "../health/health.ts";
import type { Os } from "../os/os.ts";
import { listMembers, serverStatus } from "./api.ts";
import { findQuorum } from "./quorum.ts";

/**
 * Returns why this machine's member must not be stopped now; null if it may be stopped. The member may be stopped if
 * the other members have a quorum on their own. It may also be stopped if it is already unhealthy, or is the only
 * member. Reads the members from etcd, because a new member can join before this machine's desired state lists the new
 * member.
 */
export async function quorumObstacle(desired: DesiredState, os: Os, signal: AbortSignal): Promise<string | null> {
  const { etcd, identity } = os;
  if (!hasEtcd(desired)) return null;
  if ((await probeHealth(healthCheckOf("etcd"), os, signal)) !== null) return null;
  try {
    const own = clientUrl(identity);
    const { clusterId, memberId } = await serverStatus(etcd, own, signal);
    const members = await listMembers(etcd, own, signal);
    const voters = members.filter(({ id, learner }) => id !== memberId && !learner);
    if (voters.length === 0) return null;
    const { controllers } = desired.cluster;
    // A member without a client URL has never started.
    const servers = voters.flatMap(({ clientUrls: [server], peerUrls }) => {
      const controller = controllers.find((one) => peerUrls.includes(peerUrl(one)));
      return server ?? (controller === undefined ? [] : clientUrl(controller));
    });
    await findQuorum(etcd, servers, { clusterId, signal });
    return null;
  } catch (error) {
    signal.throwIfAborted();
    return toKhwError(error).message;
  }
}
