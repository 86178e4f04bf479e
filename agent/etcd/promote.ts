import type { WithEtcd } from "../../proto/desired.ts";
import { clientUrl } from "../../proto/etcd.ts";
import type { ApplyContext } from "../../proto/step.ts";
import type { Os } from "../os/os.ts";
import { initialCluster } from "../render/etcd.ts";
import { promoteMember } from "./api.ts";
import { untilCaughtUp } from "./catch-up.ts";
import { findQuorum } from "./quorum.ts";
import { readMemberRecord, writeMemberRecord } from "./record.ts";

/**
 * Promotes this machine's learner when it has caught up, and records that it is a voting member. Does nothing if no
 * learner is recorded.
 * @throws KhwError NOT_READY if the learner does not catch up in time
 */
export async function promote(desired: WithEtcd, os: Os, context: ApplyContext): Promise<void> {
  const { etcd, files } = os;
  const { signal } = context;
  const record = await readMemberRecord(files);
  if (record?.stage !== "joining") return;
  const { clusterId, memberId } = record;
  const servers = desired.cluster.controllers.filter(({ name }) => name !== desired.node).map(clientUrl);
  await untilCaughtUp(os, {
    ...context,
    member: record,
    lacks: async ({ learner }) => {
      if (!learner) return undefined;
      const { server } = await findQuorum(etcd, servers, { clusterId, signal });
      await promoteMember(etcd, server, { id: memberId, signal });
      return undefined;
    },
  });
  await writeMemberRecord(files, { ...record, members: initialCluster(desired), stage: "member" });
}
