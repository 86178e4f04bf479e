import { KhwError } from "../../proto/errors.ts";
import { clientUrl } from "../../proto/etcd.ts";
import type { Os } from "../os/os.ts";
import { type Member, serverStatus } from "./api.ts";

interface MemberOptions {
  readonly member: Member;
  readonly clusterId: string;
  readonly signal: AbortSignal;
}

/** Whether the member answers, belongs to the cluster, and has a leader. */
export async function isHealthy(
  { etcd }: Pick<Os, "etcd">,
  { member, clusterId, signal }: MemberOptions,
): Promise<boolean> {
  // etcd knows a member's client URL only after the member has started.
  const [server = clientAt(member)] = member.clientUrls;
  if (server === undefined) return false;
  try {
    const status = await serverStatus(etcd, server, signal);
    return status.clusterId === clusterId && status.leader !== "0";
  } catch (error) {
    signal.throwIfAborted();
    if (error instanceof KhwError) return false;
    throw error;
  }
}

function clientAt({ peerUrls: [url = ""] }: Member): string | undefined {
  const host = URL.parse(url)?.hostname;
  return host === undefined ? undefined : clientUrl({ internalIp: host });
}
