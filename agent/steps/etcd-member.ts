import { dirname } from "node:path";
import type { WithEtcd } from "../../proto/desired.ts";
import { clientUrl } from "../../proto/etcd.ts";
import { KhwError } from "../../proto/errors.ts";
import type { Step } from "../../proto/step.ts";
import { listMembers, serverStatus, type ServerStatus } from "../etcd/api.ts";
import { demandDisk } from "../etcd/disk.ts";
import { hexId, readMemberRecord, writeMemberRecord } from "../etcd/record.ts";
import { hasData } from "../etcd/data.ts";
import { rejoin } from "../etcd/rejoin.ts";
import { promote } from "../etcd/promote.ts";
import type { Os } from "../os/os.ts";
import { etcdDataFolder, etcdGuardDropIn, etcdJoinDropIn, etcdRecordFile } from "../paths.ts";
import { initialCluster, renderEtcdGuard } from "../render/etcd.ts";

const mode = 0o700;
const unit = "etcd.service";

/**
 * Checks that a dedicated disk for etcd's data is mounted. The operator must mount the disk, because khw does not
 * format or mount disks.
 */
export function etcdDisk(desired: WithEtcd): Step<Os> {
  return {
    id: "etcd/disk",
    title: `a dedicated disk is mounted at ${etcdDataFolder}`,
    needs: ["identity"],
    check: async (os) => {
      await demandDisk(desired, os.files);
      return (await isKeptDown(os))
        ? { summary: "the disk is mounted again, but etcd has not been started since" }
        : null;
    },
    apply: async (os, { signal }) => {
      await demandDisk(desired, os.files);
      if (await isKeptDown(os)) await os.systemd.start(unit, signal);
    },
  };
}

/**
 * Whether systemd has refused to start etcd because its data was missing, although the data is present now. In that
 * case, etcd stays stopped until this step starts it.
 */
async function isKeptDown({ files, systemd }: Os): Promise<boolean> {
  const { activeState, unmet } = await systemd.unit(unit);
  return activeState === "inactive" && unmet === true && (await hasData(files));
}

/** Creates the folder for etcd's data, which only root can access. */
export function etcdData(needs: readonly string[]): Step<Os> {
  return {
    id: "etcd/data",
    title: `${etcdDataFolder} exists, and only root can access it`,
    needs: ["identity", ...needs],
    watches: [etcdDataFolder],
    check: async ({ files }) => {
      const facts = await files.stat(etcdDataFolder);
      if (facts?.kind !== "directory") return { summary: "the folder does not exist" };
      return facts.mode === mode && facts.uid === 0 && facts.gid === 0
        ? null
        : { summary: "other users can access it" };
    },
    apply: async ({ files }) => {
      await files.mkdir(etcdDataFolder, mode);
      await files.chown(etcdDataFolder, 0, 0);
      await files.chmod(etcdDataFolder, mode);
    },
  };
}

/** Checks that an existing member still has its data. A member that has lost its data rejoins the cluster. */
export function etcdMember(desired: WithEtcd, { needs, asked }: MemberOptions): Step<Os> {
  return {
    id: "etcd/member",
    title: "the data of its etcd member is present",
    needs,
    watches: [etcdDataFolder],
    check: async ({ files }) => {
      await demandDisk(desired, files);
      const record = await readMemberRecord(files);
      switch (record?.stage) {
        case undefined:
        case "forming":
          return null;
        case "adding":
          return { summary: `this machine is not a member of the cluster ${hexId(record.clusterId)} yet` };
        case "joining":
          return (await hasData(files)) && (await files.stat(etcdJoinDropIn)) === undefined
            ? null
            : { summary: `the member ${hexId(record.memberId)} is joining the cluster` };
        case "member":
          if (!(await hasData(files))) {
            return {
              summary: `the member ${hexId(record.memberId)} has lost its data and must rejoin the cluster`,
            };
          }
          return (await files.stat(etcdJoinDropIn)) === undefined
            ? null
            : { summary: "the drop-in for joining the cluster still exists" };
      }
    },
    apply: (os, context) => rejoin(desired, os, { ...context, asked }),
  };
}

interface MemberOptions {
  readonly needs: readonly string[];
  /** Whether an administrator is currently asking the machine to join its cluster. */
  readonly asked: boolean;
}

/**
 * Promotes a learner when the learner has caught up with the leader. The learner already runs with its final flags,
 * because a restart after the promotion would interrupt a cluster of two members.
 */
export function etcdPromoted(desired: WithEtcd, needs: readonly string[]): Step<Os> {
  return {
    id: "etcd/promoted",
    title: "its etcd member can vote",
    needs,
    check: async ({ files }) => {
      const record = await readMemberRecord(files);
      return record?.stage === "joining" ? { summary: `the member ${hexId(record.memberId)} is a learner` } : null;
    },
    apply: (os, context) => promote(desired, os, context),
  };
}

/**
 * Records the IDs of the member and of its cluster. From then on, systemd starts the member only if its data is
 * present. Without its data, a member with the lab's flags would create a new cluster, or forget its earlier votes and
 * writes.
 */
export function etcdRemembered(desired: WithEtcd, needs: readonly string[]): Step<Os> {
  return {
    id: "etcd/remembered",
    title: "the IDs of its etcd member and cluster are recorded",
    needs,
    watches: [dirname(etcdGuardDropIn)],
    check: async (os, signal) => {
      const record = await readMemberRecord(os.files);
      if (record?.stage !== "member") return { summary: "the IDs are not recorded yet" };
      if (record.rejoins === true) return { summary: "the record says that the member is being replaced" };
      const guard = (await os.files.read(etcdGuardDropIn))?.toString("utf8");
      if (guard !== renderEtcdGuard()) return { summary: "systemd would start etcd even without its data" };
      const status = await ownStatus(os, signal);
      // If etcd does not answer, there is nothing to compare. The supervisor handles an etcd that does not answer.
      if (status === undefined) return null;
      if (status.clusterId === record.clusterId && status.memberId === record.memberId) return null;
      throw new KhwError(
        "SERVICE_FAILED",
        `it is the member ${hexId(status.memberId)} of the cluster ${hexId(status.clusterId)}, but the record on this machine says ${hexId(record.memberId)} of ${hexId(record.clusterId)}`,
        {
          hint: `restore the data of the recorded member; or, if the running member is the right one, remove ${etcdRecordFile} on the node and run \`khw-client bootstrap\``,
        },
      );
    },
    apply: async (os, { signal }) => {
      const { etcd, files, systemd, identity } = os;
      const record = await readMemberRecord(files);
      if (record?.stage !== "member" || record.rejoins === true) {
        const own = clientUrl(identity);
        const { clusterId, memberId } = await serverStatus(etcd, own, signal);
        await refuseHalf(desired, os, signal);
        const members = initialCluster(desired);
        await writeMemberRecord(files, { stage: "member", members, clusterId, memberId });
      }
      await files.mkdir(dirname(etcdGuardDropIn), 0o755);
      await files.write(etcdGuardDropIn, renderEtcdGuard(), 0o644);
      await systemd.reload();
    },
  };
}

const unknownState: ReadonlySet<string> = new Set(["NOT_READY", "CREDENTIAL_INVALID"]);

async function ownStatus({ etcd, identity }: Os, signal: AbortSignal): Promise<ServerStatus | undefined> {
  try {
    return await serverStatus(etcd, clientUrl(identity), signal);
  } catch (error) {
    signal.throwIfAborted();
    // If the member cannot be verified, the health check already reports this. This step must not fail in that case.
    // Otherwise, `pki renew` could not repair the member.
    if (error instanceof KhwError && unknownState.has(error.code)) return undefined;
    throw error;
  }
}

/** Throws unless the cluster has exactly the desired members. */
async function refuseHalf(desired: WithEtcd, { etcd, identity }: Os, signal: AbortSignal): Promise<void> {
  const members = await listMembers(etcd, clientUrl(identity), signal);
  const found = members.flatMap(({ peerUrls }) => peerUrls).toSorted();
  const wanted = [...initialCluster(desired).values()].toSorted();
  if (found.join() === wanted.join()) return;
  throw new KhwError("SERVICE_FAILED", `etcd's members are ${found.join(", ")}, not ${wanted.join(", ")}`, {
    hint: "correct the cluster's members (`etcdctl member list` shows them), or list the existing members as controllers in khw.yaml",
  });
}
