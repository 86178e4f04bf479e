import type { WithEtcd } from "../../proto/desired.ts";
import { KhwError } from "../../proto/errors.ts";
import { losesPromotions, promotionsStoredSince } from "../../proto/etcd-versions.ts";
import type { ApplyContext } from "../../proto/step.ts";
import { show } from "../../proto/validate.ts";
import { type WaitClock, waitFor } from "../../proto/wait-for.ts";
import type { EtcdServers } from "../os/etcd-servers.ts";
import type { Files } from "../os/files.ts";
import { etcdMemberFolder } from "../paths.ts";
import { addLearner, type Member } from "./api.ts";
import { hasData } from "./data.ts";
import { hexId } from "./record.ts";

/** The time limit is several times the five seconds for which all voting members must be connected. */
const healthyMillis = 30_000;

/**
 * Adds a learner. etcd refuses a learner until all voting members have been connected to each other for five seconds.
 * For example, etcd refuses a learner just after another new member has started.
 */
export async function addWhenHealthy(
  etcd: EtcdServers,
  server: string,
  { peerUrl: url, clock, ...context }: ApplyContext & { readonly peerUrl: string; readonly clock: WaitClock },
): Promise<Member> {
  return waitFor<Member>({
    what: "etcd does not accept a new member",
    check: async (signal) => {
      try {
        return { reached: await addLearner(etcd, server, { peerUrl: url, signal }) };
      } catch (error) {
        if (!(error instanceof KhwError) || !/unhealthy cluster/.test(error.message)) throw error;
        return { seen: "etcd reports that its members have not been connected long enough", cause: error };
      }
    },
    deadlineMillis: healthyMillis,
    intervalMillis: 500,
    ...context,
    clock,
    late: ({ message, cause }) =>
      new KhwError("NOT_READY", message, {
        hint: "see `khw-client etcd status` for a member that is unhealthy, and repair or remove it first",
        cause,
      }),
  });
}

/** @throws KhwError ETCD_CONFLICT if this machine must not become a new member */
export async function refuseToAdd(desired: WithEtcd, files: Pick<Files, "stat">): Promise<void> {
  const { version } = desired.etcd;
  if (losesPromotions(version)) {
    throw new KhwError("ETCD_CONFLICT", `etcd ${version} does not store the promotion of a new member on disk`, {
      hint: `upgrade etcd to ${promotionsStoredSince} or later first (\`etcd.version\` in khw.yaml)`,
    });
  }
  if (await hasData(files)) {
    throw new KhwError("ETCD_CONFLICT", `${etcdMemberFolder} has data, but this machine has never been a member`, {
      hint: `move ${etcdMemberFolder} on the node to another folder, then run \`khw-client bootstrap\``,
    });
  }
}

/** @throws KhwError ETCD_CONFLICT if the member at this machine's address belongs to another controller */
export function refuseForeignMember({ node }: WithEtcd, old: Member | undefined): void {
  if (old === undefined || old.name === "" || old.name === node) return;
  throw new KhwError(
    "ETCD_CONFLICT",
    `the etcd member ${show(old.name)} (${hexId(old.id)}) uses this machine's address ${old.peerUrls.join(", ")}`,
    { hint: "remove that controller first (`khw-client remove NODE`), or use another address for the new one" },
  );
}

/**
 * etcd accepts one learner at a time. Without this check, the old member would be removed, but no new member would be
 * added.
 */
export function refuseOtherLearner(members: readonly Member[], old: Member | undefined): void {
  const other = members.find((member) => member.learner && member !== old);
  if (other === undefined) return;
  throw new KhwError(
    "BUSY",
    `the etcd member ${hexId(other.id)} at ${other.peerUrls.join(", ")} is a learner, and etcd accepts one at a time`,
    { hint: "wait until that member has caught up, then run the command again" },
  );
}
