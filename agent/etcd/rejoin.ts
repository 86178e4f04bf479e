import { dirname } from "node:path";
import { ownController, type WithEtcd } from "../../proto/desired.ts";
import { KhwError } from "../../proto/errors.ts";
import { clientUrl, peerUrl } from "../../proto/etcd.ts";
import type { ApplyContext } from "../../proto/step.ts";
import { show } from "../../proto/validate.ts";
import type { Files } from "../os/files.ts";
import type { Os } from "../os/os.ts";
import { demandOwnView } from "../health/own-view.ts";
import { etcdJoinDropIn, etcdMemberFolder } from "../paths.ts";
import { type InitialCluster, renderEtcdJoin } from "../render/etcd.ts";
import { addWhenHealthy, refuseOtherLearner, refuseToAdd } from "./add-learner.ts";
import { type Member, removeMember, serverStatus } from "./api.ts";
import { untilCaughtUp } from "./catch-up.ts";
import { hasData } from "./data.ts";
import { demandDisk } from "./disk.ts";
import { keepAlive } from "./keep-alive.ts";
import { createEtcdLock } from "./lock.ts";
import { findQuorum } from "./quorum.ts";
import { hexId, type Identified, type MemberRecord, readMemberRecord, writeMemberRecord } from "./record.ts";

const unit = "etcd.service";
/** The lock that lets only one member rejoin at a time, because a joining member does not count towards the quorum. */
const lock = { key: "/khw/etcd/join", doing: "is rejoining etcd", ttlSeconds: 60 };
type Known = Exclude<MemberRecord, { readonly stage: "forming" }>;

/**
 * Makes this machine's member a learner: of a cluster that the machine joins as a new controller, or of its own cluster
 * after its etcd data was lost. First checks that the other members have a quorum. Then removes the old member if there
 * is one, adds a new member as a learner, and waits until it has copied the data. promote.ts promotes the learner. After
 * an interruption at any point, this function can be called again.
 * @throws KhwError NOT_READY if the other members have no quorum; BUSY while another controller's member is rejoining
 */
export async function rejoin(desired: WithEtcd, os: Os, context: ApplyContext): Promise<void> {
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
  { record, signal, progress }: ApplyContext & { readonly record: Known },
): Promise<void> {
  const { etcd, files, systemd, identity } = os;
  const { clusterId } = record;
  const servers = desired.cluster.controllers.filter(({ name }) => name !== desired.node).map(clientUrl);
  const ask = (): ReturnType<typeof findQuorum> => findQuorum(etcd, servers, { clusterId, signal });

  await demandOwnView(os, signal);
  const { server } = await ask();
  const held = await createEtcdLock(etcd).acquire(server, { ...lock, value: identity.name, signal });
  await using _ = keepAlive(held, lock.ttlSeconds);
  // Another member may have joined while this one was waiting for the lock.
  const quorum = await ask();
  const others = otherMembers(desired, quorum.members);
  const joining =
    (await goesOn(record, quorum.members, files)) ?? (await begin(desired, os, { record, quorum, signal, progress }));
  const members = new Map([...others, [desired.node, peerUrl(ownController(desired))]]);

  await files.mkdir(dirname(etcdJoinDropIn), 0o755);
  await files.write(etcdJoinDropIn, renderEtcdJoin(desired, members), 0o644);
  await systemd.reload();
  if ((await systemd.unit(unit)).activeState !== "active") await systemd.restart(unit, signal);
  // The learner must have applied the log up to its own addition, because it restarts without the list of members.
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
  // A member that has started may have voted and acknowledged writes, and only its data records that. Without the data,
  // it must not start again.
  return added.name === "" || (await hasData(files)) ? record : undefined;
}

interface RejoinOptions extends ApplyContext {
  readonly record: Known;
  readonly quorum: { readonly server: string; readonly members: readonly Member[] };
}

async function begin(
  desired: WithEtcd,
  { etcd, files, systemd, clock }: Os,
  { record, quorum, signal, progress }: RejoinOptions,
): Promise<Identified> {
  const { server, members } = quorum;
  const url = peerUrl(ownController(desired));
  const old = members.find(({ peerUrls }) => peerUrls.includes(url));
  if (record.stage === "adding") await refuseToAdd(desired, { files, old });
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
  // Writing the record again fails if the disk is full or read-only. That way, the failure comes before any change to
  // the membership.
  await writeMemberRecord(files, record);
  await removeTree(files, etcdMemberFolder);
  // An interrupted call may have added a learner that has never started. That learner is used.
  const unused = record.stage === "adding" && old?.learner === true && old.name === "" ? old : undefined;
  if (old !== undefined && unused === undefined) await removeMember(etcd, server, { id: old.id, signal });
  const { id } = unused ?? (await addWhenHealthy(etcd, server, { peerUrl: url, clock, signal, progress }));
  const joining = { clusterId: record.clusterId, memberId: id };
  await writeMemberRecord(files, { members: record.members, ...joining, stage: "joining" });
  return joining;
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
