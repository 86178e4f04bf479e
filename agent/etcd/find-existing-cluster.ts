import { ownController, type WithEtcd } from "../../proto/desired.ts";
import { KhwError } from "../../proto/errors.ts";
import { clientUrl, peerUrl } from "../../proto/etcd.ts";
import type { Os } from "../os/os.ts";
import { listMembers, type Member, serverStatus } from "./api.ts";
import type { Identified } from "./record.ts";

/** A cluster that another controller's etcd belongs to. */
export interface ExistingCluster {
  readonly clusterId: string;
  /** The member at this machine's address; undefined if the cluster has no such member. */
  readonly own: Pick<Member, "id" | "clientUrls" | "learner"> | undefined;
}

/**
 * Returns the cluster of the first other controller whose etcd answers. Returns undefined if no controller answers. In
 * that case, etcd itself would refuse to start.
 * @throws KhwError CREDENTIAL_INVALID if a controller's etcd answers but cannot be verified, because this etcd may list
 * a member at this machine's address
 */
export async function findExistingCluster(
  desired: WithEtcd,
  { etcd }: Os,
  signal: AbortSignal,
): Promise<ExistingCluster | undefined> {
  const own = peerUrl(ownController(desired));
  const others = desired.cluster.controllers.filter(({ name }) => name !== desired.node).map(clientUrl);
  const ask = async (server: string): Promise<ExistingCluster[]> => {
    try {
      const { clusterId } = await serverStatus(etcd, server, signal);
      const members = await listMembers(etcd, server, signal);
      return [{ clusterId, own: members.find(({ peerUrls }) => peerUrls.includes(own)) }];
    } catch (error) {
      signal.throwIfAborted();
      if (error instanceof KhwError && error.code === "NOT_READY") return [];
      throw error;
    }
  };
  const found = (await Promise.all(others.map(ask))).flat();
  return found.find((cluster) => startedMember(cluster) !== undefined) ?? found[0];
}

/**
 * Returns the member at this machine's address if that member has started before. In that case, this machine was
 * recreated.
 */
export function startedMember({ clusterId, own }: ExistingCluster): Identified | undefined {
  return own === undefined || own.clientUrls.length === 0 ? undefined : { clusterId, memberId: own.id };
}
