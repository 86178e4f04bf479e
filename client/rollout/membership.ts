import type { Controller } from "../../proto/desired.ts";
import { KhwError } from "../../proto/errors.ts";
import { peerUrl } from "../../proto/etcd.ts";
import { losesPromotions, promotionsStoredSince } from "../../proto/etcd-versions.ts";
import { type EtcdPeer, type MemberRecord, MemberStage } from "../../proto/gen/khw/agent/v1/etcd.ts";
import { memberOf, type NodeEtcd, unfinishedRestore } from "../etcd/overview.ts";

/** The configured controllers, compared with the members that etcd has now. */
export interface Membership {
  /** In hex; empty if no cluster exists yet. */
  readonly clusterId: string;
  /**
   * The controllers that must join etcd, in the order in which they join. A controller that an earlier run has added as
   * a learner comes first.
   */
  readonly joining: readonly string[];
  /** The reasons why the controllers cannot be changed to the configured ones. */
  readonly obstacles: readonly KhwError[];
  /** Sentences about a list of controllers that works, but has a disadvantage. */
  readonly warnings: readonly string[];
}

export const noMembership: Membership = { clusterId: "", joining: [], obstacles: [], warnings: [] };

export interface Compared {
  readonly controllers: readonly Controller[];
  /** The agents' reports about etcd. */
  readonly nodes: readonly NodeEtcd[];
  /** The etcd release that new members get, for example "v3.4.15". */
  readonly version: string;
}

/** Compares the configured controllers with the members of etcd. */
export function compareMembership({ controllers, nodes, version }: Compared): Membership {
  // A restore creates a new cluster, and holds all machines until every member belongs to it.
  if (nodes.some((node) => unfinishedRestore(node) !== undefined)) return noMembership;
  const ids = clustersOf(nodes);
  const [clusterId] = ids.keys();
  // Until a member has been healthy once, a first bootstrap is under way.
  if (clusterId === undefined) return noMembership;
  if (ids.size > 1) return { ...noMembership, clusterId, obstacles: [severalClusters(ids)] };
  const members = membersNow(nodes, clusterId);
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

/** Returns the clusters whose members the agents have recorded, each with the names of its nodes. */
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

/** Returns the members that a voting member with a leader lists; undefined if no such member answers. */
function membersNow(nodes: readonly NodeEtcd[], clusterId: string): readonly EtcdPeer[] | undefined {
  const asked = nodes
    .flatMap((node) => memberOf(node) ?? [])
    .find((member) => member.clusterId === clusterId && !member.learner && member.leaderId !== "");
  return asked?.members;
}

/** While etcd does not answer, only a list that equals the recorded lists can be trusted. */
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

interface Found extends Compared {
  readonly clusterId: string;
  readonly members: readonly EtcdPeer[];
  readonly joining: readonly string[];
}

/** Returns the members that are not configured controllers, or have another name than their controller. */
function memberObstacles({ controllers, nodes, members }: Found): KhwError[] {
  const recorded = nodes.flatMap(({ status }) => status?.record?.members ?? []);
  return members.flatMap(({ memberId, name, peerUrls, learner }) => {
    const where = peerUrls.join(", ");
    const at = controllers.find((one) => peerUrls.includes(peerUrl(one)));
    if (at !== undefined) return name === "" || name === at.name ? [] : addressInUse(at, name);
    const same = controllers.find((one) => one.name === name);
    if (same !== undefined) return movedAddress(same, where);
    const known = recorded.find((one) => peerUrls.includes(peerUrl(one)));
    if (known !== undefined) return shorterList(known.name);
    const kind = learner ? "a learner" : "a member";
    return new KhwError("ETCD_CONFLICT", `etcd has ${kind} ${memberId} at ${where}, which is not a controller`, {
      hint: `list it as a controller, or remove it: \`etcdctl member remove ${memberId}\``,
    });
  });
}

function addressInUse({ name, internalIp }: Controller, holder: string): KhwError {
  return new KhwError("ETCD_CONFLICT", `the address ${internalIp} is in use by the etcd member ${holder}`, {
    node: name,
    hint: `remove ${holder} first (\`khw-client remove ${holder}\`), or give ${name} another address`,
  });
}

function movedAddress({ name, internalIp }: Controller, before: string): KhwError {
  return new KhwError(
    "ETCD_CONFLICT",
    `its internal address is ${internalIp} now, but its etcd member is at ${before}; a member keeps its address`,
    {
      node: name,
      hint: `give the machine its old address; or add it under a new name, after \`khw-client remove ${name}\``,
    },
  );
}

function shorterList(name: string): KhwError {
  return new KhwError("ETCD_CONFLICT", `${name} is a controller of this cluster, but is not in the list of nodes`, {
    hint: `list ${name}; or remove it from the cluster: \`khw-client remove ${name}\``,
  });
}

/** Returns the reasons why no controller can join now. */
function joinObstacles(found: Found): KhwError[] {
  return [...releaseObstacle(found), ...unhealthyMembers(found), ...unfitMachines(found)];
}

function releaseObstacle({ nodes, version, joining }: Found): KhwError[] {
  const running = nodes.flatMap((node) => memberOf(node)?.version ?? []);
  const lossy = [version, ...running].find(losesPromotions);
  if (lossy === undefined) return [];
  const what = `${joining.join(", ")} cannot join: etcd ${lossy} does not store the promotion of a new member on disk`;
  return [
    new KhwError("ETCD_CONFLICT", what, {
      hint: `upgrade etcd first: list the present controllers only, set \`etcd.version\` to ${promotionsStoredSince} or later, and run \`khw-client bootstrap\``,
    }),
  ];
}

/** etcd refuses a new member while a present member is unhealthy. */
function unhealthyMembers({ nodes, members, controllers, joining }: Found): KhwError[] {
  return members
    .filter(({ learner }) => !learner)
    .flatMap(({ peerUrls }) => controllers.find((one) => peerUrls.includes(peerUrl(one))) ?? [])
    .flatMap(({ name }) => {
      const own = nodes.find(({ node }) => node === name);
      const member = own === undefined ? undefined : memberOf(own);
      if (member !== undefined && member.leaderId !== "") return [];
      const why = own?.error?.message ?? own?.status?.reason ?? "it has no leader";
      const text = `${joining.join(", ")} cannot join while this etcd member is unhealthy: ${why || "it has no leader"}`;
      return new KhwError("NOT_READY", text, {
        node: name,
        hint: `repair ${name}; if it will not return, run \`khw-client remove ${name} --dead\` first`,
      });
    });
}

function unfitMachines({ nodes, joining, clusterId }: Found): KhwError[] {
  return joining.flatMap((name) => {
    const own = nodes.find(({ node }) => node === name);
    if (own?.status === undefined) {
      const text = `it cannot join the cluster: ${own?.error?.message ?? "its agent does not answer"}`;
      const hint = own?.error?.hint ?? `start its agent, or leave ${name} out of the list`;
      return new KhwError(own?.error?.code ?? "UNREACHABLE", text, { node: name, hint });
    }
    const why = unfit(own.status.record, clusterId);
    if (why === undefined) return [];
    const hint = `if the data of its etcd is not needed, run \`khw-client reset ${name}\`; otherwise leave it out of the list`;
    return new KhwError("ETCD_CONFLICT", why, { node: name, hint });
  });
}

/** Returns the reason why a machine with this record cannot join the cluster. */
function unfit(record: MemberRecord | undefined, clusterId: string): string | undefined {
  if (record === undefined) return undefined;
  if (record.stage === MemberStage.MEMBER_STAGE_FORMING) return "its etcd was started for another cluster";
  if (record.clusterId !== clusterId) return `its etcd belongs to another cluster, ${record.clusterId}`;
  // A machine that is being added, or is a learner, continues.
  const removed = record.stage === MemberStage.MEMBER_STAGE_MEMBER;
  return removed ? "its etcd member was removed from the cluster" : undefined;
}

/** An even number of members survives the loss of no more members than one member less. */
function evenWarning(count: number): string[] {
  if (count % 2 === 1) return [];
  const quorum = count / 2 + 1;
  const tolerated = count - quorum;
  const fewer = count === 2 ? "1 controller" : `${count - 1} controllers`;
  return [
    `${count} controllers tolerate ${tolerated} ${tolerated === 1 ? "failure" : "failures"}, the same as ${fewer}, but each write needs ${quorum} etcd members instead of ${count / 2}; use an odd number of controllers`,
  ];
}
