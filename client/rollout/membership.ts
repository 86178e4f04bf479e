import type { Controller } from "../../proto/desired.ts";
import { KhwError } from "../../proto/errors.ts";
import { peerUrl } from "../../proto/etcd.ts";
import { type EtcdPeer, MemberStage } from "../../proto/gen/khw/agent/v1/etcd.ts";
import { memberOf, type NodeEtcd, unfinishedRestore } from "../etcd/overview.ts";
import { joinObstacles, memberObstacles } from "./membership-obstacles.ts";

/** The configured controllers, compared with the members that etcd has now. */
export interface Membership {
  /** In hex; empty if no cluster exists yet. */
  readonly clusterId: string;
  /**
   * The controllers that must join etcd, in the order in which they join. A controller that an earlier run has added as
   * a learner comes first.
   */
  readonly joining: readonly string[];
  /** The reasons why the configured controllers cannot become the members of etcd. */
  readonly obstacles: readonly KhwError[];
  /** Warnings about a list of controllers that works but has a disadvantage. */
  readonly warnings: readonly string[];
}

export const noMembership: Membership = { clusterId: "", joining: [], obstacles: [], warnings: [] };

export interface Compared {
  readonly controllers: readonly Controller[];
  /** Controllers that are being removed, whose members may still exist. Default: no controllers. */
  readonly leaving?: readonly Controller[];
  /** The agents' reports about etcd. */
  readonly nodes: readonly NodeEtcd[];
  /** The etcd release that new members get, for example "v3.4.15". */
  readonly version: string;
}

/** Compares the configured controllers with the members of etcd. */
export function compareMembership({ controllers, leaving = [], nodes, version }: Compared): Membership {
  // A restore creates a new etcd cluster. The membership cannot change until all members belong to the new cluster.
  if (nodes.some((node) => unfinishedRestore(node) !== undefined)) return noMembership;
  const ids = clustersOf(nodes);
  const [clusterId] = ids.keys();
  // No member has ever been healthy, so the first bootstrap is not complete yet.
  if (clusterId === undefined) return noMembership;
  if (ids.size > 1) return { ...noMembership, clusterId, obstacles: [severalClusters(ids)] };
  const gone = new Set(leaving.map(peerUrl));
  const members = membersNow(nodes, clusterId)?.filter(({ peerUrls }) => !peerUrls.some((url) => gone.has(url)));
  if (members === undefined) return { ...noMembership, clusterId, obstacles: withoutAnswer(controllers, nodes) };
  const voting = new Set(members.filter(({ learner }) => !learner).flatMap(({ peerUrls }) => peerUrls));
  const learning = new Set(members.filter(({ learner }) => learner).flatMap(({ peerUrls }) => peerUrls));
  const joining = controllers
    .filter((one) => !voting.has(peerUrl(one)))
    .toSorted((a, b) => Number(learning.has(peerUrl(b))) - Number(learning.has(peerUrl(a))))
    .map(({ name }) => name);
  const found = { controllers, nodes, version, clusterId, members, joining };
  const wrong = memberObstacles(found);
  return {
    clusterId,
    joining,
    obstacles: wrong.length > 0 || joining.length === 0 ? wrong : joinObstacles(found),
    warnings: joining.length === 0 ? [] : evenWarning(controllers.length),
  };
}

/** Returns the etcd clusters that the agents have recorded, each with the names of its nodes. */
function clustersOf(nodes: readonly NodeEtcd[]): Map<string, string[]> {
  const ids = new Map<string, string[]>();
  for (const { node, status } of nodes) {
    if (status?.record?.stage !== MemberStage.MEMBER_STAGE_MEMBER) continue;
    const { clusterId } = status.record;
    ids.set(clusterId, [...(ids.get(clusterId) ?? []), node]);
  }
  return ids;
}

function severalClusters(ids: ReadonlyMap<string, readonly string[]>): KhwError {
  const parts = [...ids].map(([id, names]) => `${names.join(", ")} to ${id}`);
  return new KhwError("ETCD_CONFLICT", `the nodes belong to different etcd clusters: ${parts.join("; ")}`, {
    hint: "list only the controllers of one cluster; a machine whose data is not needed can be cleared with `khw-client reset NODE`",
  });
}

/**
 * Returns the member list of a voting member that has a leader; undefined if no voting member with a leader answers.
 */
function membersNow(nodes: readonly NodeEtcd[], clusterId: string): readonly EtcdPeer[] | undefined {
  const asked = nodes
    .flatMap((node) => memberOf(node) ?? [])
    .find((member) => member.clusterId === clusterId && !member.learner && member.leaderId !== "");
  return asked?.members;
}

/**
 * Returns an error if a node's recorded members are not the configured controllers. While etcd does not answer, only
 * the records can confirm the list.
 */
function withoutAnswer(controllers: readonly Controller[], nodes: readonly NodeEtcd[]): KhwError[] {
  const wanted = listed(controllers);
  const differing = nodes.find(
    ({ status }) =>
      status?.record?.stage === MemberStage.MEMBER_STAGE_MEMBER && listed(status.record.members) !== wanted,
  );
  if (differing === undefined) return [];
  const what = `etcd does not answer, and its recorded members (${listed(differing.status?.record?.members ?? [])}) are not the configured controllers (${wanted})`;
  return [
    new KhwError("ETCD_CONFLICT", what, {
      node: differing.node,
      hint: "list the recorded members, and bring etcd back first; `khw-client etcd status` shows each member",
    }),
  ];
}

function listed(machines: readonly { readonly name: string; readonly internalIp: string }[]): string {
  return machines
    .map(({ name, internalIp }) => `${name}=${internalIp}`)
    .toSorted()
    .join(", ");
}

/** An even number of members tolerates no more failures than the next lower odd number. */
export function evenWarning(count: number): string[] {
  if (count % 2 === 1) return [];
  const quorum = count / 2 + 1;
  const tolerated = count - quorum;
  const fewer = count === 2 ? "1 controller" : `${count - 1} controllers`;
  return [
    `${count} controllers tolerate ${tolerated} ${tolerated === 1 ? "failure" : "failures"}, the same as ${fewer}, but each write needs ${quorum} etcd members instead of ${count / 2}; use an odd number of controllers`,
  ];
}
