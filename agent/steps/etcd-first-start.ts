import type { WithEtcd } from "../../proto/desired.ts";
import { KhwError } from "../../proto/errors.ts";
import type { Step } from "../../proto/step.ts";
import { findConflict, isSameList, notYetMembers } from "../etcd/conflict.ts";
import { demandDisk } from "../etcd/disk.ts";
import { findExistingCluster, startedMember } from "../etcd/find-existing-cluster.ts";
import { hexId, type MemberRecord, readMemberRecord, writeMemberRecord } from "../etcd/record.ts";
import { hasData } from "../etcd/data.ts";
import type { Os } from "../os/os.ts";
import { initialCluster } from "../render/etcd.ts";

/**
 * Before etcd first starts, records the cluster that this machine's member belongs to. From then on, no other cluster
 * is created on this machine.
 */
export function etcdFirstStart(desired: WithEtcd, { needs, joins }: FirstStartOptions): Step<Os> {
  return {
    id: "etcd/begun",
    title: "this machine's etcd belongs to no other cluster",
    needs,
    check: async (os, signal) => {
      const obstacle = await findConflict(desired, os, signal);
      if (obstacle !== null) throw obstacle;
      const record = await readMemberRecord(os.files);
      if (record === undefined) return { summary: "no etcd member is recorded on this machine yet" };
      if (joins !== undefined) refuseOtherCluster(record, joins);
      if (record.stage !== "member" || isSameList(record.members, initialCluster(desired))) return null;
      const missing = await notYetMembers(desired, os, signal);
      return missing.length === 0
        ? { summary: "the recorded list of etcd members is out of date" }
        : { summary: `etcd does not have ${missing.join(", ")} as a member yet` };
    },
    apply: async (os, { signal }) => {
      const { files } = os;
      const members = initialCluster(desired);
      const record = await readMemberRecord(files);
      if (record !== undefined) {
        await refuseMissing(desired, os, signal);
        return writeMemberRecord(files, { ...record, members });
      }
      await demandDisk(desired, files);
      await writeMemberRecord(files, await firstRecord(desired, os, { joins, signal }));
    },
  };
}

interface FirstStartOptions {
  readonly needs: readonly string[];
  /**
   * The cluster that this machine joins; undefined if the machine creates a cluster together with the other
   * controllers.
   */
  readonly joins: string | undefined;
}

/** @throws KhwError ETCD_CONFLICT if the machine would have to join a cluster, but nobody has requested this */
async function firstRecord(
  desired: WithEtcd,
  os: Os,
  { joins, signal }: { readonly joins: string | undefined; readonly signal: AbortSignal },
): Promise<MemberRecord> {
  const members = initialCluster(desired);
  const cluster = (await hasData(os.files)) ? undefined : await findExistingCluster(desired, os, signal);
  const known = cluster === undefined ? undefined : startedMember(cluster);
  if (known !== undefined) return { stage: "member", members, ...known };
  if (joins !== undefined) return { stage: "adding", members, clusterId: joins };
  // A learner here means that this machine was added to an existing cluster but has lost the record of this.
  if (cluster === undefined || cluster.own?.learner === false) return { stage: "forming", members };
  throw new KhwError(
    "ETCD_CONFLICT",
    `the other controllers have the etcd cluster ${hexId(cluster.clusterId)}, and this machine is not a member of it`,
    { hint: "run `khw-client bootstrap`, which adds the machine to that cluster" },
  );
}

function refuseOtherCluster(record: MemberRecord, joins: string): void {
  if (record.stage !== "forming" && record.clusterId === joins) return;
  const other = record.stage === "forming" ? "a cluster of its own" : `the cluster ${hexId(record.clusterId)}`;
  throw new KhwError(
    "ETCD_CONFLICT",
    `this machine's etcd belongs to ${other}, so it cannot join the cluster ${hexId(joins)}`,
    { hint: "if the data of this machine's etcd is not needed, run `khw-client reset NODE` first" },
  );
}

async function refuseMissing(desired: WithEtcd, os: Os, signal: AbortSignal): Promise<void> {
  const missing = await notYetMembers(desired, os, signal);
  if (missing.length === 0) return;
  throw new KhwError("ETCD_CONFLICT", `etcd does not have ${missing.join(", ")} as a member yet`, {
    hint: "run `khw-client bootstrap`, which adds the new controllers first",
  });
}
