import { ownController, type WithEtcd } from "../../proto/desired.ts";
import { KhwError } from "../../proto/errors.ts";
import { clientUrl, peerUrl } from "../../proto/etcd.ts";
import type { Os } from "../os/os.ts";
import { listMembers, serverStatus } from "./api.ts";
import type { Identified } from "./record.ts";

/**
 * The member that a running cluster of the other controllers knows at this one's address, and that was started once: this
 * machine was made anew. Undefined where there is none, and where nobody can be asked: then etcd itself still refuses to begin.
 */
export async function knownToOthers(
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
