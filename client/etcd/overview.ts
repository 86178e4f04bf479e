import type { KhwError } from "../../proto/errors.ts";
import { type EtcdMember, type GetEtcdStatusResponse, RestorePhase } from "../../proto/gen/khw/agent/v1/etcd.ts";
import { continuingCommand } from "../../proto/restore.ts";
import type { Member } from "../cluster/open.ts";
import { maxConcurrentNodes, forEachNode } from "../cluster/for-each-node.ts";

/** An agent's report on the etcd member on its node. */
export interface NodeEtcd {
  readonly node: string;
  /** Absent if the agent did not answer. */
  readonly status?: GetEtcdStatusResponse;
  readonly error?: KhwError;
}

export async function readEtcd(members: readonly Member[], signal: AbortSignal): Promise<NodeEtcd[]> {
  const answers = await forEachNode(members, maxConcurrentNodes, (node) => node.etcd.status(signal));
  return answers.map(({ name: node, value, error }) =>
    error === undefined ? { node, status: value } : { node, error },
  );
}

/**
 * Returns one sentence for each problem; empty if every member is healthy and all members belong to one cluster with
 * one leader.
 */
export function etcdProblems(nodes: readonly NodeEtcd[]): string[] {
  return [...nodes.flatMap(problemsOfNode), ...problemsTogether(nodes)];
}

export function memberOf({ status }: NodeEtcd): EtcdMember | undefined {
  return status?.member;
}

const ended: ReadonlySet<RestorePhase> = new Set([
  RestorePhase.RESTORE_PHASE_FINISHED,
  RestorePhase.RESTORE_PHASE_ABANDONED,
]);

export function unfinishedRestore({ status }: NodeEtcd): GetEtcdStatusResponse["restore"] {
  const restore = status?.restore;
  return restore === undefined || ended.has(restore.phase) ? undefined : restore;
}

function problemsOfNode(node: NodeEtcd): string[] {
  const { node: name, status, error } = node;
  if (error !== undefined) return [`${name}: its agent does not answer: ${error.message}`];
  const restore = unfinishedRestore(node);
  const restoring =
    restore === undefined
      ? []
      : [
          `${name}: a restore of ${restore.snapshotId} is unfinished: run \`${continuingCommand(restore)}\` to continue`,
        ];
  const member = status?.member;
  if (member === undefined) return [`${name}: etcd does not answer: ${status?.reason ?? ""}`, ...restoring];
  return [
    ...(member.leaderId === "" ? [`${name}: it has no leader: fewer than half of the members answer`] : []),
    ...(member.learner ? [`${name}: it is a learner and has no vote yet`] : []),
    ...member.errors.map((told) => `${name}: ${told}`),
    ...restoring,
  ];
}

function problemsTogether(nodes: readonly NodeEtcd[]): string[] {
  const members = nodes.flatMap((node) => memberOf(node) ?? []);
  const clusters = new Set(members.map(({ clusterId }) => clusterId));
  const leaders = new Set(members.flatMap(({ leaderId }) => (leaderId === "" ? [] : leaderId)));
  return [
    ...(clusters.size > 1 ? [`the members belong to ${clusters.size} clusters: ${[...clusters].join(", ")}`] : []),
    ...(leaders.size > 1 ? [`the members do not agree on the leader: ${[...leaders].join(", ")}`] : []),
  ];
}
