import type { Controller } from "../../proto/desired.ts";
import { KhwError } from "../../proto/errors.ts";
import { peerUrl } from "../../proto/etcd.ts";
import { losesPromotions, promotionsStoredSince } from "../../proto/etcd-versions.ts";
import { type EtcdPeer, type MemberRecord, MemberStage } from "../../proto/gen/khw/agent/v1/etcd.ts";
import { memberOf, type NodeEtcd } from "../etcd/overview.ts";

/** The configured controllers, and the facts about the cluster. */
export interface Found {
  readonly controllers: readonly Controller[];
  readonly nodes: readonly NodeEtcd[];
  /** The etcd release that new members get. */
  readonly version: string;
  readonly clusterId: string;
  readonly members: readonly EtcdPeer[];
  readonly joining: readonly string[];
}

/**
 * Returns an error for each member that is not a configured controller, or whose name differs from its controller's
 * name.
 */
export function memberObstacles({ controllers, nodes, members }: Found): KhwError[] {
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
      hint: `give the machine its old address; or create it under another name, and run \`khw-client replace ${name} --with NEW-NAME --dead\``,
    },
  );
}

function shorterList(name: string): KhwError {
  return new KhwError("ETCD_CONFLICT", `${name} is a controller of this cluster, but is not in the list of nodes`, {
    hint: `list ${name}; or remove it from the cluster: \`khw-client remove ${name}\``,
  });
}

/** Returns the reasons why no controller can join now. */
export function joinObstacles(found: Found): KhwError[] {
  return [...releaseObstacle(found), ...unhealthyMembers(found), ...unfitMachines(found)];
}

function releaseObstacle({ nodes, version, joining }: Found): KhwError[] {
  const running = nodes.flatMap((node) => memberOf(node)?.version ?? []);
  const lossy = [version, ...running].find(losesPromotions);
  if (lossy === undefined) return [];
  const what = `${joining.join(", ")} cannot join: etcd ${lossy} does not store the promotion of a new member on disk`;
  return [
    new KhwError("ETCD_CONFLICT", what, {
      hint: `upgrade etcd first: list only the existing controllers, set \`etcd.version\` to ${promotionsStoredSince} or later, and run \`khw-client bootstrap\``,
    }),
  ];
}

/** Returns an error for each unhealthy member, because etcd then refuses new members. */
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

/** Returns the reason why a machine with this record cannot join the cluster; undefined if the machine can join. */
function unfit(record: MemberRecord | undefined, clusterId: string): string | undefined {
  if (record === undefined) return undefined;
  if (record.stage === MemberStage.MEMBER_STAGE_FORMING) return "its etcd was started for another cluster";
  if (record.clusterId !== clusterId) return `its etcd belongs to another cluster, ${record.clusterId}`;
  // A machine that is being added, or is already a learner, may continue to join.
  const removed = record.stage === MemberStage.MEMBER_STAGE_MEMBER;
  return removed ? "its etcd member was removed from the cluster" : undefined;
}
