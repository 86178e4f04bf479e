import { KhwError } from "../../proto/errors.ts";
import { clientUrl, peerUrl } from "../../proto/etcd.ts";
import { demandOwnView } from "../health/own-view.ts";
import type { Os } from "../os/os.ts";
import { listMembers, type Member, removeMember, serverStatus, transferLeadership } from "./api.ts";
import { lockMembers } from "./lock-members.ts";
import { isHealthy } from "./member-health.ts";
import { hexId } from "./record.ts";

/**
 * Removes another machine's member from this machine's etcd cluster. Returns false if the cluster has no such member.
 * The remaining members must have a quorum of their own, so that the cluster keeps working even if the removed member
 * has stopped.
 * @throws KhwError WOULD_INTERRUPT, ETCD_CONFLICT, NOT_READY
 */
export async function removeOtherMember(
  os: Os,
  { internalIp, signal }: { readonly internalIp: string; readonly signal: AbortSignal },
): Promise<boolean> {
  const { etcd, identity } = os;
  const own = clientUrl(identity);
  const url = peerUrl({ internalIp });
  if (url === peerUrl(identity))
    throw new KhwError("INVALID_ARGUMENT", "a machine cannot remove its own member", {
      hint: "ask another controller",
    });
  await demandOwnView(os, signal);
  const { clusterId, memberId, leader } = await serverStatus(etcd, own, signal);
  if (leader === "0") throw new KhwError("NOT_READY", "this machine's etcd member has no leader");
  const members = await listMembers(etcd, own, signal);
  await demandQuorumWithout(os, { url, members, clusterId, signal });
  await using _ = await lockMembers(etcd, own, { holder: identity.name, signal });
  // The machine may have replaced its member in the meantime.
  const leaving = (await listMembers(etcd, own, signal)).find(({ peerUrls }) => peerUrls.includes(url));
  if (leaving === undefined) return false;
  if (leaving.peerUrls.length > 1)
    throw new KhwError("ETCD_CONFLICT", `the member ${hexId(leaving.id)} has several peer URLs`, {
      hint: "khw did not create this member; remove it with `etcdctl member remove`",
    });
  if (leader === leaving.id) await becomeLeader(os, { leaving, memberId, signal });
  await removeMember(etcd, own, { id: leaving.id, signal });
  return true;
}

interface QuorumOptions {
  /** The peer URL of the member to remove. */
  readonly url: string;
  readonly members: readonly Member[];
  readonly clusterId: string;
  readonly signal: AbortSignal;
}

/** @throws KhwError WOULD_INTERRUPT if the members have no quorum without the member at this URL */
async function demandQuorumWithout(os: Os, { url, members, clusterId, signal }: QuorumOptions): Promise<void> {
  if (!members.some(({ peerUrls }) => peerUrls.includes(url))) return;
  const rest = members.filter(({ peerUrls, learner }) => !peerUrls.includes(url) && !learner);
  const healthy = await Promise.all(rest.map((member) => isHealthy(os, { member, clusterId, signal })));
  const [count, needed] = [healthy.filter(Boolean).length, Math.floor(rest.length / 2) + 1];
  if (count >= needed) return;
  const what = `${count} of the ${rest.length} remaining members ${count === 1 ? "is" : "are"} healthy`;
  throw new KhwError("WOULD_INTERRUPT", `etcd would lose its quorum: ${what}, but ${needed} are needed`, {
    hint: "repair the other members first; see `khw-client etcd status`",
  });
}

interface LeaderOptions {
  readonly leaving: Member;
  /** The ID of this machine's member. */
  readonly memberId: string;
  readonly signal: AbortSignal;
}

/**
 * Makes this machine's member the leader, because the cluster would otherwise wait about a second for an election.
 * A failure does not prevent the removal.
 */
async function becomeLeader({ etcd }: Os, { leaving, memberId, signal }: LeaderOptions): Promise<void> {
  const [server] = leaving.clientUrls;
  if (server === undefined) return;
  try {
    await transferLeadership(etcd, server, { id: memberId, signal });
  } catch (error) {
    signal.throwIfAborted();
    if (!(error instanceof KhwError)) throw error;
  }
}
