import { toKhwError } from "../../proto/errors.ts";
import { clientUrl } from "../../proto/etcd.ts";
import type { ApplyContext } from "../../proto/step.ts";
import type { Os } from "../os/os.ts";
import { listMembers, type Member, serverStatus, transferLeadership } from "./api.ts";

/**
 * If this machine's member is the leader, makes another healthy member the leader. Call this function before the member
 * stops, because otherwise the cluster waits about a second for an election. A failure is reported but does not prevent
 * the stop.
 */
export async function moveLeader(os: Os, { signal, progress }: ApplyContext): Promise<void> {
  const { etcd, identity } = os;
  const own = clientUrl(identity);
  try {
    const { memberId, leader } = await serverStatus(etcd, own, signal);
    if (leader !== memberId) return;
    const others = (await listMembers(etcd, own, signal)).filter(({ id, learner }) => id !== memberId && !learner);
    for (const member of others) {
      if (!(await follows(member, { os, leader, signal }))) continue;
      await transferLeadership(etcd, own, { id: member.id, signal });
      return progress(`${member.name} is now the etcd leader`);
    }
  } catch (error) {
    signal.throwIfAborted();
    progress(`no other etcd member could be made the leader: ${toKhwError(error).message}`);
  }
}

interface FollowsOptions {
  readonly os: Os;
  readonly leader: string;
  readonly signal: AbortSignal;
}

/** Whether the member answers and follows the given leader. */
async function follows({ clientUrls: [server] }: Member, { os, leader, signal }: FollowsOptions): Promise<boolean> {
  if (server === undefined) return false;
  try {
    return (await serverStatus(os.etcd, server, signal)).leader === leader;
  } catch {
    signal.throwIfAborted();
    return false;
  }
}
