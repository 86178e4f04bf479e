import { dirname } from "node:path";
import { ownController, type WithEtcd } from "../../proto/desired.ts";
import { KhwError } from "../../proto/errors.ts";
import { clientUrl, peerUrl } from "../../proto/etcd.ts";
import type { ApplyContext } from "../../proto/step.ts";
import { show } from "../../proto/validate.ts";
import type { Clock } from "../os/clock.ts";
import type { EtcdServers } from "../os/etcd-servers.ts";
import type { Files } from "../os/files.ts";
import type { Os } from "../os/os.ts";
import { demandOwnView } from "../health/own-view.ts";
import { etcdJoinDropIn, etcdMemberFolder } from "../paths.ts";
import { type InitialCluster, renderEtcdJoin } from "../render/etcd.ts";
import { addWhenHealthy, refuseForeignMember, refuseOtherLearner, refuseToAdd } from "./add-learner.ts";
import { type Member, removeMember, serverStatus } from "./api.ts";
import { untilCaughtUp } from "./catch-up.ts";
import { hasData } from "./data.ts";
import { demandDisk } from "./disk.ts";
import { lockMembers } from "./lock-members.ts";
import { findQuorum } from "./quorum.ts";
import { hexId, type Identified, type MemberRecord, readMemberRecord, writeMemberRecord } from "./record.ts";

const unit = "etcd.service";
type Known = Exclude<MemberRecord, { readonly stage: "forming" }>;
type Present = Exclude<Known, { readonly stage: "adding" }>;

export interface RejoinContext extends ApplyContext {
  /**
   * Whether an administrator has requested this call. If so, a learner that was removed from the cluster is added
   * again.
   */
  readonly asked: boolean;
}

/**
 * Makes this machine's member a learner. The machine joins a cluster as a new controller, or rejoins its own cluster
 * after its etcd data was lost. First checks that the other members have a quorum. Then removes the old member if there
 * is one, adds a new member as a learner, and waits until the learner has copied the data. promote.ts promotes the
 * learner. After an interruption at any point, this function can be called again.
 * @throws KhwError NOT_READY if the other members have no quorum; BUSY while another controller changes the members;
 * ETCD_CONFLICT if an administrator has removed this machine's member
 */
export async function rejoin(desired: WithEtcd, os: Os, context: RejoinContext): Promise<void> {
  const { files, systemd } = os;
  const record = await readMemberRecord(files);
  if (record === undefined || record.stage === "forming")
    throw new TypeError("this machine had no member that could rejoin");
  if (record.stage !== "member" || !(await hasData(files))) await join(desired, os, { ...context, record });
  await files.remove(etcdJoinDropIn);
  await systemd.reload();
}

async function join(
  desired: WithEtcd,
  os: Os,
  { record, asked, signal, progress }: RejoinContext & { readonly record: Known },
): Promise<void> {
  const { etcd, files, systemd, identity, clock } = os;
  const { clusterId } = record;
  const servers = desired.cluster.controllers.filter(({ name }) => name !== desired.node).map(clientUrl);
  const ask = (): ReturnType<typeof findQuorum> => findQuorum(etcd, servers, { clusterId, signal });

  await demandOwnView(os, signal);
  const { server } = await ask();
  await using _ = await lockMembers(etcd, server, { holder: identity.name, signal });
  // Another member may have joined while this machine was waiting for the lock.
  const quorum = await ask();
  // If the machine was removed, its list of controllers is outdated, and must not be compared with the members.
  refuseRemoved(desired, record, { members: quorum.members, asked, now: clock.now() });
  const others = otherMembers(desired, quorum.members);
  const joining =
    (await goesOn(record, quorum.members, files)) ?? (await begin(desired, os, { record, quorum, signal, progress }));
  const members = new Map([...others, [desired.node, peerUrl(ownController(desired))]]);

  await files.mkdir(dirname(etcdJoinDropIn), 0o755);
  await files.write(etcdJoinDropIn, renderEtcdJoin(desired, members), 0o644);
  await systemd.reload();
  if ((await systemd.unit(unit)).activeState !== "active") await systemd.restart(unit, signal);
  // The learner must first apply the log up to the entry that added the learner. It later restarts without the list of
  // members.
  const { appliedIndex: target } = await serverStatus(etcd, quorum.server, signal);
  await untilCaughtUp(os, {
    signal,
    progress,
    member: joining,
    lacks: async ({ appliedIndex }) =>
      appliedIndex >= target ? undefined : `it has applied ${appliedIndex} of ${target} entries of the log`,
  });
}

/** Returns the member that an interrupted rejoin added, if that member is still usable. */
async function goesOn(
  record: Known,
  members: readonly Member[],
  files: Pick<Files, "stat">,
): Promise<Identified | undefined> {
  if (record.stage !== "joining") return undefined;
  const added = members.find(({ id }) => id === record.memberId);
  if (added === undefined) return undefined;
  // A member that has started may have voted and acknowledged writes. Only the member's data records these votes and
  // writes, so the member must not start again without the data.
  return added.name === "" || (await hasData(files)) ? record : undefined;
}

interface BeginOptions extends ApplyContext {
  readonly record: Known;
  readonly quorum: { readonly server: string; readonly members: readonly Member[] };
}

async function begin(
  desired: WithEtcd,
  { etcd, files, systemd, clock }: Os,
  { record, quorum, signal, progress }: BeginOptions,
): Promise<Identified> {
  const { server, members } = quorum;
  const url = peerUrl(ownController(desired));
  const old = members.find(({ peerUrls }) => peerUrls.includes(url));
  refuseForeignMember(desired, old);
  if (record.stage === "adding") await refuseToAdd(desired, files);
  refuseOtherLearner(members, old);
  const { activeState } = await systemd.unit(unit);
  if (record.stage === "member" && activeState === "active") {
    throw new KhwError(
      "NOT_READY",
      `etcd is running, but its data in ${etcdMemberFolder} is not visible to the agent, so khw leaves etcd as it is`,
      {
        hint: "check the folder and its mounts on the node; if the data is lost, etcd exits and the agent makes the member rejoin",
      },
    );
  }
  if (activeState !== "inactive" && activeState !== "failed") await systemd.stop(unit, signal);
  await systemd.resetFailed(unit);
  await demandDisk(desired, files);
  // Rewrites the record, which fails if the disk is full or read-only. This failure then comes before any change to the
  // membership.
  await writeMemberRecord(files, record);
  // An interrupted call may have added a learner that has never started. This call then uses the same learner.
  const mayReuse = record.stage === "adding" || record.rejoins === true;
  const unused = mayReuse && old?.learner === true && old.name === "" ? old : undefined;
  await removeTree(files, etcdMemberFolder);
  if (old !== undefined && unused === undefined) await removeOld(old, { record, etcd, files, clock, server, signal });
  const { id } = unused ?? (await addWhenHealthy(etcd, server, { peerUrl: url, clock, signal, progress }));
  const joining = { clusterId: record.clusterId, memberId: id };
  await writeMemberRecord(files, { members: record.members, ...joining, stage: "joining" });
  return joining;
}

/** How long an interrupted rejoin may continue without another request. */
const unaskedMillis = 10 * 60_000;

interface Asked {
  readonly asked: boolean;
  readonly now: number;
}

/** @throws KhwError ETCD_CONFLICT if an administrator has removed this machine's member, or may have done so */
function refuseRemoved(
  desired: WithEtcd,
  record: Known,
  { members, ...asked }: Asked & { readonly members: readonly Member[] },
): void {
  const own = peerUrl(ownController(desired));
  if (record.stage === "adding" || members.some(({ peerUrls }) => peerUrls.includes(own))) return;
  if (!goesOnWithout(record, asked)) throw record.rejoins === true ? mayBeRemoved(record) : wasRemoved(record);
}

/**
 * Whether a member that is missing from the cluster may be added again without another request. A time in the future
 * counts as too old, because the clock was changed.
 */
function goesOnWithout({ stage, rejoins, since = 0 }: Present, { asked, now }: Asked): boolean {
  if (asked) return rejoins === true || stage === "joining";
  return rejoins === true && now >= since && now - since <= unaskedMillis;
}

interface RemoveOldOptions {
  readonly record: Known;
  readonly etcd: EtcdServers;
  readonly files: Files;
  readonly clock: Pick<Clock, "now">;
  readonly server: string;
  readonly signal: AbortSignal;
}

/**
 * Removes this machine's old member. Updates the record first, because only the record distinguishes an interrupted
 * rejoin from a removal by an administrator.
 */
async function removeOld(old: Member, { record, etcd, files, clock, server, signal }: RemoveOldOptions): Promise<void> {
  const now = clock.now();
  if (record.stage !== "adding") await writeMemberRecord(files, { ...record, rejoins: true, since: now });
  try {
    await removeMember(etcd, server, { id: old.id, signal });
  } catch (error) {
    if (!(error instanceof KhwError) || !/member not found/.test(error.message)) throw error;
    if (record.stage === "adding" || goesOnWithout(record, { asked: false, now })) return;
    // The list of members was out of date: somebody else has removed the member.
    await writeMemberRecord(files, record);
    throw wasRemoved(record);
  }
}

function wasRemoved({ clusterId, memberId }: Present): KhwError {
  return new KhwError(
    "ETCD_CONFLICT",
    `this machine's etcd member ${hexId(memberId)} was removed from the cluster ${hexId(clusterId)}, so it does not rejoin`,
    {
      hint: "delete the machine; or, to use it as a controller again, run `khw-client reset NODE` and then `khw-client bootstrap`",
    },
  );
}

function mayBeRemoved({ clusterId, memberId }: Present): KhwError {
  return new KhwError(
    "ETCD_CONFLICT",
    `this machine's etcd member ${hexId(memberId)} is missing from the cluster ${hexId(clusterId)}: a rejoin was interrupted more than ${unaskedMillis / 60_000} minutes ago, and an administrator may have removed the machine since`,
    {
      hint: "to keep the machine as a controller, run `khw-client bootstrap`; otherwise delete the machine or run `khw-client reset NODE`",
    },
  );
}

/**
 * Returns the other members for --initial-cluster, named after their controllers. The names in etcd are not used,
 * because they would become part of a command that runs as root.
 * @throws KhwError SERVICE_FAILED if a member is not a controller
 */
function otherMembers(desired: WithEtcd, members: readonly Member[]): InitialCluster {
  const { controllers } = desired.cluster;
  const own = peerUrl(ownController(desired));
  const entries = members
    .filter(({ peerUrls }) => !peerUrls.includes(own))
    .map(({ id, peerUrls }): [string, string] => {
      const [url = ""] = peerUrls;
      const controller = controllers.find((one) => peerUrl(one) === url);
      if (controller !== undefined && peerUrls.length === 1) return [controller.name, url];
      throw new KhwError(
        "SERVICE_FAILED",
        `etcd has a member ${hexId(id)} at ${show(peerUrls.join(", "))}, which is not a controller`,
        { hint: "remove this member (`etcdctl member remove`), or list all members as controllers in khw.yaml" },
      );
    });
  return new Map(entries);
}

async function removeTree(files: Files, path: string): Promise<void> {
  if ((await files.stat(path))?.kind === "directory") {
    for (const name of await files.list(path)) await removeTree(files, `${path}/${name}`);
  }
  await files.remove(path);
}
