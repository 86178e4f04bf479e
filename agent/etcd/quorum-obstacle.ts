import { hasEtcd, type DesiredState } from "../../proto/desired.ts";
import { toKhwError } from "../../proto/errors.ts";
import { clientUrl } from "../../proto/etcd.ts";
import { healthCheckOf, probeHealth } from "../health/health.ts";
import type { Os } from "../os/os.ts";
import { serverStatus } from "./api.ts";
import { findQuorum } from "./quorum.ts";

/**
 * Returns why this machine's member must not be stopped now; null if it may be stopped. Stopping is allowed if the
 * other members have a quorum without it. It is also allowed if the member is already unhealthy, or is the only member.
 */
export async function quorumObstacle(desired: DesiredState, os: Os, signal: AbortSignal): Promise<string | null> {
  const { etcd, identity } = os;
  const others = desired.cluster.controllers.filter(({ name }) => name !== identity.name).map(clientUrl);
  if (!hasEtcd(desired) || others.length === 0) return null;
  if ((await probeHealth(healthCheckOf("etcd"), os, signal)) !== null) return null;
  try {
    const { clusterId } = await serverStatus(etcd, clientUrl(identity), signal);
    await findQuorum(etcd, others, { clusterId, signal });
    return null;
  } catch (error) {
    signal.throwIfAborted();
    return toKhwError(error).message;
  }
}
