import { dirname } from "node:path";
import { ownController, type WithEtcd } from "../../proto/desired.ts";
import { KhwError } from "../../proto/errors.ts";
import { clientUrl, peerUrl } from "../../proto/etcd.ts";
import type { ApplyContext } from "../../proto/step.ts";
import { show } from "../../proto/validate.ts";
import { type Look, waitFor } from "../../proto/wait-for.ts";
import type { Files } from "../os/files.ts";
import type { Os } from "../os/os.ts";
import { demandOwnView } from "../health/own-view.ts";
import { etcdJoinDropIn, etcdMemberFolder } from "../paths.ts";
import { type InitialCluster, renderEtcdJoin } from "../render/etcd.ts";
import { addLearner, type Member, promoteMember, removeMember, serverStatus } from "./api.ts";
import { demandDisk } from "./disk.ts";
import { keepAlive } from "./keep-alive.ts";
import { createEtcdLock } from "./lock.ts";
import { findQuorum } from "./quorum.ts";
import { hexId, type Identified, type MemberRecord, readMemberRecord, writeMemberRecord } from "./record.ts";

const unit = "etcd.service";
/** The lock that lets only one member rejoin at a time, because a joining member does not count towards the quorum. */
const lock = { key: "/khw/etcd/join", doing: "is rejoining etcd", ttlSeconds: 60 };
/** The time limit for catching up, which is enough to send a snapshot of several gigabytes. */
const catchUpMillis = 600_000;
const intervalMillis = 500;

type Known = Extract<MemberRecord, { readonly stage: "member" | "joining" }>;

/**
 * Restores this machine's membership after its etcd data was lost. First checks that the other members have a quorum.
 * Then removes the old member, adds a new member as a learner, and promotes it once it has caught up. After an
 * interruption at any point, this function can be called again.
 * @throws KhwError NOT_READY if the other members have no quorum; BUSY while another controller's member is rejoining
 */
export async function rejoin(desired: WithEtcd, os: Os, context: ApplyContext): Promise<void> {
  const { files, systemd } = os;
  const record = await readMemberRecord(files);
  if (record === undefined || record.stage === "forming")
    throw new TypeError("this machine had no member that could rejoin");
  if (record.stage === "joining" || !(await hasData(files))) await join(desired, os, { ...context, record });
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
    (await goesOn(record, quorum.members, files)) ?? (await begin(desired, os, { record, quorum, signal }));
  const members = new Map([...others, [desired.node, peerUrl(ownController(desired))]]);

  await files.mkdir(dirname(etcdJoinDropIn), 0o755);
  await files.write(etcdJoinDropIn, renderEtcdJoin(desired, members), 0o644);
  await systemd.reload();
  if ((await systemd.unit(unit)).activeState !== "active") await systemd.restart(unit, signal);
  await caughtUp(os, joining, { server: quorum.server, own: clientUrl(identity), signal, progress });
  await writeMemberRecord(files, { ...record, ...joining, stage: "member" });
}

/** Returns the member that an interrupted rejoin added, if that member is still usable. */
async function goesOn(
  record: Known,
  members: readonly Member[],
  files: Pick<Files, "stat">,
): Promise<Identified | undefined> {
  const added = members.find(({ id }) => id === record.memberId);
  if (record.stage !== "joining" || added === undefined) return undefined;
  // A member that has started may have voted and acknowledged writes, and only its data records that. Without the data,
  // it must not start again.
  return added.name === "" || (await hasData(files)) ? record : undefined;
}

interface RejoinOptions {
  readonly record: Known;
  readonly quorum: { readonly server: string; readonly members: readonly Member[] };
  readonly signal: AbortSignal;
}

async function begin(
  desired: WithEtcd,
  { etcd, files, systemd }: Os,
  { record, quorum, signal }: RejoinOptions,
): Promise<Identified> {
  const { server, members } = quorum;
  const url = peerUrl(ownController(desired));
  const { activeState } = await systemd.unit(unit);
  if (record.stage === "member" && activeState === "active") {
    throw new KhwError(
      "NOT_READY",
      `etcd is running, but its data in ${etcdMemberFolder} is not visible, so khw does not change etcd`,
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
  const old = members.find(({ peerUrls }) => peerUrls.includes(url));
  if (old !== undefined) await removeMember(etcd, server, { id: old.id, signal });
  const { id } = await addLearner(etcd, server, { peerUrl: url, signal });
  const joining = { clusterId: record.clusterId, memberId: id };
  await writeMemberRecord(files, { ...record, ...joining, stage: "joining" });
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
        { hint: "remove it (`etcdctl member remove`), or list all members as controllers in khw.yaml" },
      );
    });
  return new Map(entries);
}

interface CatchUp extends ApplyContext {
  readonly server: string;
  readonly own: string;
}

async function caughtUp(
  { etcd, clock, systemd }: Os,
  { memberId }: Identified,
  { server, own, signal, progress }: CatchUp,
): Promise<void> {
  const overdue = (lacks: string): KhwError =>
    new KhwError("NOT_READY", `the member ${hexId(memberId)} has not caught up: ${lacks}`, {
      hint: `see \`journalctl --unit=${unit}\` on the node for the reason; the agent tries again by itself`,
    });
  await waitFor({
    what: `the member ${hexId(memberId)} has not caught up`,
    check: async (): Promise<Look<void>> => {
      const lacks = await lacking();
      if (lacks === undefined) return { reached: undefined };
      if ((await systemd.unit(unit)).activeState === "failed") throw overdue(lacks);
      return { seen: lacks };
    },
    deadlineMillis: catchUpMillis,
    intervalMillis,
    signal,
    progress,
    late: ({ seen }) => overdue(seen),
    clock,
  });

  async function lacking(): Promise<string | undefined> {
    try {
      const status = await serverStatus(etcd, own, signal);
      if (status.memberId !== memberId) return `another member, ${hexId(status.memberId)}, answers`;
      if (status.leader === "0") return "it has found no leader";
      if (status.learner) await promoteMember(etcd, server, { id: memberId, signal });
      return undefined;
    } catch (error) {
      signal.throwIfAborted();
      if (!(error instanceof KhwError)) throw error;
      return error.message;
    }
  }
}

export async function hasData(files: Pick<Files, "stat">): Promise<boolean> {
  return (await files.stat(etcdMemberFolder))?.kind === "directory";
}

async function removeTree(files: Files, path: string): Promise<void> {
  if ((await files.stat(path))?.kind === "directory") {
    for (const name of await files.list(path)) await removeTree(files, `${path}/${name}`);
  }
  await files.remove(path);
}
