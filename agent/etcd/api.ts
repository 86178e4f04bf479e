import { KhwError } from "../../proto/errors.ts";
import { show } from "../../proto/validate.ts";
import type { EtcdServers } from "../os/etcd-servers.ts";
import { countOf, fieldsOf, listOf, textOf, textsOf } from "./answer.ts";
import type { GatewayAnswer } from "./gateway.ts";
import type { Identified } from "./record.ts";

/** The status that an etcd server reports about itself. All IDs are decimal. */
export interface ServerStatus extends Identified {
  /** The leader's member ID; 0 if there is no leader. */
  readonly leader: string;
  readonly learner: boolean;
  /** The index of the last log entry that the server has applied. */
  readonly appliedIndex: number;
}

export interface Member {
  readonly id: string;
  /** Empty until the member's first start. */
  readonly name: string;
  readonly peerUrls: readonly string[];
  readonly clientUrls: readonly string[];
  readonly learner: boolean;
}

/**
 * Reads a server's status. This works without a quorum.
 * @throws KhwError NOT_READY
 */
export async function serverStatus(etcd: EtcdServers, server: string, signal: AbortSignal): Promise<ServerStatus> {
  const answer = await etcd.post(server, { path: "/v3/maintenance/status", body: {}, signal });
  const header = fieldsOf(answer["header"]);
  return {
    clusterId: idOf(header["cluster_id"]),
    memberId: idOf(header["member_id"]),
    leader: textOf(answer["leader"]) || "0",
    learner: answer["isLearner"] === true,
    appliedIndex: countOf(answer["raftAppliedIndex"]),
  };
}

/**
 * Lists the members that the server knows.
 * @throws KhwError NOT_READY
 */
export async function listMembers(etcd: EtcdServers, server: string, signal: AbortSignal): Promise<Member[]> {
  const answer = await etcd.post(server, { path: "/v3/cluster/member/list", body: {}, signal });
  return listOf(answer["members"]).map(memberOf);
}

/**
 * Adds a member as a learner, which copies the other members' data before it can vote.
 * @throws KhwError NOT_READY
 */
export async function addLearner(
  etcd: EtcdServers,
  server: string,
  { peerUrl, signal }: { readonly peerUrl: string; readonly signal: AbortSignal },
): Promise<Member> {
  const body = { peerURLs: [peerUrl], isLearner: true };
  const answer = await etcd.post(server, { path: "/v3/cluster/member/add", body, signal });
  return memberOf(fieldsOf(answer["member"]));
}

export interface ChangeOptions {
  readonly id: string;
  readonly signal: AbortSignal;
}

/** @throws KhwError NOT_READY */
export async function removeMember(etcd: EtcdServers, server: string, { id, signal }: ChangeOptions): Promise<void> {
  await etcd.post(server, { path: "/v3/cluster/member/remove", body: { ID: id }, signal });
}

/**
 * Promotes a learner to a voting member.
 * @throws KhwError NOT_READY, also while the learner lags behind the leader
 */
export async function promoteMember(etcd: EtcdServers, server: string, { id, signal }: ChangeOptions): Promise<void> {
  await etcd.post(server, { path: "/v3/cluster/member/promote", body: { ID: id }, signal });
}

/**
 * Makes another member the leader. Only the current leader accepts this call.
 * @throws KhwError NOT_READY
 */
export async function transferLeadership(
  etcd: EtcdServers,
  server: string,
  { id, signal }: ChangeOptions,
): Promise<void> {
  await etcd.post(server, { path: "/v3/maintenance/transfer-leadership", body: { targetID: id }, signal });
}

function memberOf(fields: GatewayAnswer): Member {
  return {
    id: idOf(fields["ID"]),
    name: textOf(fields["name"]),
    peerUrls: textsOf(fields["peerURLs"]),
    clientUrls: textsOf(fields["clientURLs"]),
    learner: fields["isLearner"] === true,
  };
}

function idOf(value: unknown): string {
  if (typeof value === "string" && /^\d{1,20}$/.test(value)) return value;
  throw new KhwError(
    "NOT_READY",
    `etcd returned an invalid member or cluster ID: ${show(JSON.stringify(value) ?? "nothing")}`,
    {
      hint: "use etcd 3.4 or later",
    },
  );
}
