import { KhwError } from "../../proto/errors.ts";
import type { EtcdServers } from "../os/etcd-servers.ts";
import { listMembers, type Member, serverStatus } from "./api.ts";

export interface Quorum {
  /** A server that reports a leader and counts toward the quorum. */
  readonly server: string;
  readonly members: readonly Member[];
}

/**
 * Returns the cluster as the etcd servers on the other controllers report it. The servers that report a leader must be
 * enough for a quorum. `clusterId` is undefined if this machine's cluster has no ID yet.
 * @throws KhwError NOT_READY, with each unusable server and the reason
 */
export async function findQuorum(
  etcd: EtcdServers,
  servers: readonly string[],
  { clusterId, signal }: { readonly clusterId: string | undefined; readonly signal: AbortSignal },
): Promise<Quorum> {
  const told: string[] = [];
  const ask = async (server: string): Promise<string[]> => {
    try {
      const status = await serverStatus(etcd, server, signal);
      if (clusterId !== undefined && status.clusterId !== clusterId) told.push(`${server} belongs to another cluster`);
      else if (status.leader === "0") told.push(`${server} has no leader`);
      else if (!status.learner) return [server];
      return [];
    } catch (error) {
      signal.throwIfAborted();
      if (!(error instanceof KhwError)) throw error;
      told.push(error.message);
      return [];
    }
  };
  const well = (await Promise.all(servers.map(ask))).flat();
  const [server] = well;
  if (server === undefined) throw none("no other etcd member can be reached", told);
  const members = await listMembers(etcd, server, signal);
  const voters = members.filter(({ learner }) => !learner).length;
  const needed = Math.floor(voters / 2) + 1;
  if (well.length < needed) {
    throw none(`${well.length} other etcd members are healthy, but the quorum needs ${needed} of ${voters}`, told);
  }
  return { server, members };
}

function none(what: string, told: readonly string[]): KhwError {
  return new KhwError("NOT_READY", [what, ...told].join("; "), {
    hint: "start etcd on the other controllers first; if their data is lost too, restore a snapshot",
  });
}
