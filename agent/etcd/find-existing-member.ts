import { ownController, type WithEtcd } from "../../proto/desired.ts";
import { KhwError } from "../../proto/errors.ts";
import { clientUrl, peerUrl } from "../../proto/etcd.ts";
import type { Os } from "../os/os.ts";
import { listMembers, serverStatus } from "./api.ts";
import type { Identified } from "./record.ts";

/**
 * Returns the member that the other controllers' cluster lists at this machine's address, if that member has started
 * before. Such a member means that this machine was recreated. Returns undefined if there is no such member, or if no
 * controller answers. In the latter case, etcd itself would refuse to start.
 * @throws KhwError CREDENTIAL_INVALID if a controller's etcd answers but cannot be verified, because it may list such a
 * member
 */
export async function findExistingMember(
  desired: WithEtcd,
  { etcd }: Os,
  signal: AbortSignal,
): Promise<Identified | undefined> {
  const own = peerUrl(ownController(desired));
  const others = desired.cluster.controllers.filter(({ name }) => name !== desired.node).map(clientUrl);
  const ask = async (server: string): Promise<Identified[]> => {
    try {
      const { clusterId } = await serverStatus(etcd, server, signal);
      const members = await listMembers(etcd, server, signal);
      const there = members.find(({ peerUrls, clientUrls }) => peerUrls.includes(own) && clientUrls.length > 0);
      return there === undefined ? [] : [{ clusterId, memberId: there.id }];
    } catch (error) {
      signal.throwIfAborted();
      if (error instanceof KhwError && error.code === "NOT_READY") return [];
      throw error;
    }
  };
  return (await Promise.all(others.map(ask))).flat()[0];
}
