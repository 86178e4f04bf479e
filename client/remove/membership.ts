import { isIPv4 } from "node:net";
import { KhwError } from "../../proto/errors.ts";
import type { EtcdPeer } from "../../proto/gen/khw/agent/v1/etcd.ts";
import type { Controller } from "../../proto/desired.ts";
import { peerUrl } from "../../proto/etcd.ts";
import { memberOf, type NodeEtcd } from "../etcd/overview.ts";

/** The members of etcd after a controller is removed. */
export interface Remaining {
  /** The controller's member; undefined if etcd no longer has this member. */
  readonly leaving: EtcdPeer | undefined;
  /** The members that stay, including learners. */
  readonly staying: readonly EtcdPeer[];
  /** The number of voting members that stay. */
  readonly voters: number;
}

interface Leaving {
  readonly name: string;
  /** The controller's internal address; undefined if its machine is dead. */
  readonly internalIp?: string | undefined;
  /** The controllers that stay. */
  readonly controllers: readonly Controller[];
  /** A new controller that is not in the cluster yet, but whose learner may already exist. */
  readonly learner?: Controller | undefined;
}

/**
 * Checks that the remaining members still have a quorum after the controller is removed. Also checks that each
 * remaining member belongs to a controller that stays, or is the learner. `nodes` contains the answers of the
 * controllers that stay.
 * @throws KhwError WOULD_INTERRUPT with the numbers; ETCD_CONFLICT for a member that is not a controller
 */
export function checkRemaining(
  nodes: readonly NodeEtcd[],
  { name, internalIp, controllers, learner: joining }: Leaving,
): Remaining {
  const answers = nodes.flatMap((node) => memberOf(node) ?? []);
  const withLeader = answers.filter(({ leaderId }) => leaderId !== "");
  const [first] = withLeader;
  if (first === undefined) {
    throw new KhwError(
      "WOULD_INTERRUPT",
      `etcd has no quorum: none of the ${nodes.length} other members has a leader`,
      {
        hint: "repair etcd first; see `khw-client etcd status`",
      },
    );
  }
  const known = new Set(controllers.map(peerUrl));
  const joins = joining === undefined ? undefined : peerUrl(joining);
  const { leaving, staying } = split(first.members, (members) => {
    const named = members.find((member) => member.name === name);
    return named ?? findUnstarted(members, { internalIp, others: new Set([...known, joins]) });
  });
  const foreign = staying.filter(({ peerUrls, learner }) =>
    peerUrls.some((url) => !known.has(url) && !(learner && url === joins)),
  );
  if (foreign.length > 0) {
    const names = foreign.map(({ name, peerUrls }) => name || peerUrls.join(", ")).join(", ");
    throw new KhwError("ETCD_CONFLICT", `etcd has members that are not among the remaining controllers: ${names}`, {
      hint: "list all controllers that stay in khw.yaml or --nodes; see `khw-client etcd status`",
    });
  }
  const voters = staying.filter(({ learner }) => !learner).length;
  const healthy = withLeader.filter(({ clusterId, learner }) => clusterId === first.clusterId && !learner).length;
  const needed = Math.floor(voters / 2) + 1;
  if (healthy >= needed) return { leaving, staying, voters };
  const what = `${healthy} of the ${voters} remaining members ${healthy === 1 ? "is" : "are"} healthy`;
  throw new KhwError("WOULD_INTERRUPT", `etcd would lose its quorum: ${what}, but ${needed} are needed`, {
    hint: "repair the other members first; see `khw-client etcd status`",
  });
}

/**
 * Returns the controller's member and all other members. Does not check the quorum. Prefers the answers of other
 * controllers, because a removed member does not know about its removal.
 * @throws KhwError WOULD_INTERRUPT if no member has a leader
 */
export function findMembers(nodes: readonly NodeEtcd[], name: string): Pick<Remaining, "leaving" | "staying"> {
  const others = nodes.filter(({ node }) => node !== name);
  const own = nodes.filter(({ node }) => node === name);
  const first = [...others, ...own]
    .flatMap((node) => memberOf(node) ?? [])
    .find(({ leaderId, learner }) => leaderId !== "" && !learner);
  if (first === undefined) {
    throw new KhwError("WOULD_INTERRUPT", `etcd has no quorum: none of the ${nodes.length} nodes has a leader`, {
      hint: "repair etcd first; see `khw-client etcd status`",
    });
  }
  return split(first.members, (members) => members.find((member) => member.name === name));
}

/**
 * Returns the only learner that has never started and belongs to no other controller. etcd does not know its name yet.
 * It has no data and no vote, so its removal loses nothing.
 */
function findUnstarted(
  members: readonly EtcdPeer[],
  { internalIp, others }: { readonly internalIp: string | undefined; readonly others: ReadonlySet<string | undefined> },
): EtcdPeer | undefined {
  const own = internalIp === undefined ? undefined : peerUrl({ internalIp });
  const unstarted = members.filter(
    ({ name, learner, peerUrls }) =>
      name === "" && learner && peerUrls.every((url) => !others.has(url) && (own === undefined || url === own)),
  );
  return unstarted.length === 1 ? unstarted[0] : undefined;
}

function split(
  members: readonly EtcdPeer[],
  find: (members: readonly EtcdPeer[]) => EtcdPeer | undefined,
): Pick<Remaining, "leaving" | "staying"> {
  const leaving = find(members);
  return { leaving, staying: members.filter((member) => member !== leaving) };
}

/** Returns the controller with the address of its etcd member; undefined if the address is unknown. */
export function controllerAt(name: string, member: EtcdPeer | undefined): Controller | undefined {
  const internalIp = URL.parse(member?.peerUrls[0] ?? "")?.hostname;
  return internalIp !== undefined && isIPv4(internalIp) ? { name, internalIp } : undefined;
}
