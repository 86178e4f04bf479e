import { KhwError } from "../../proto/errors.ts";
import { clientUrl } from "../../proto/etcd.ts";
import type { ApplyContext } from "../../proto/step.ts";
import { type Look, waitFor } from "../../proto/wait-for.ts";
import type { Os } from "../os/os.ts";
import { listMembers, type ServerStatus, serverStatus } from "./api.ts";
import { isHealthy } from "./member-health.ts";

/** A member that has just started may need some seconds to find the leader. */
const deadlineMillis = 30_000;
const intervalMillis = 1_000;

/**
 * Waits until etcd can do without this machine's member for the time of a restart: the other members have a quorum, or
 * all of them are healthy. (A cluster of two members always loses its quorum during a restart.) Does not wait if this
 * member has no leader, because etcd then has no quorum to lose.
 * @throws KhwError WOULD_INTERRUPT
 */
export async function demandOtherMembers(os: Os, { signal, progress }: ApplyContext): Promise<void> {
  await waitFor({
    what: "etcd would lose its quorum",
    check: async (): Promise<Look<void>> => {
      const obstacle = await unhealthyOthers(os, signal);
      return obstacle === null ? { reached: undefined } : { seen: obstacle };
    },
    deadlineMillis,
    intervalMillis,
    signal,
    progress,
    clock: os.clock,
    late: ({ seen }) =>
      new KhwError("WOULD_INTERRUPT", `etcd is not restarted, because it would lose its quorum: ${seen}`, {
        hint: "repair the other members first (see `khw-client etcd status`); if a machine will not return, run `khw-client remove NODE --dead`",
      }),
  });
}

async function unhealthyOthers(os: Os, signal: AbortSignal): Promise<string | null> {
  const { etcd, identity } = os;
  const own = clientUrl(identity);
  const status = await statusOf(os, own, signal);
  // A member that does not answer must be restarted with its corrected files, for example if its certificate has expired.
  if (status === undefined || status.leader === "0" || status.learner) return null;
  const { clusterId, memberId } = status;
  try {
    const others = (await listMembers(etcd, own, signal)).filter((member) => member.id !== memberId && !member.learner);
    const healthy = await Promise.all(others.map((member) => isHealthy(os, { member, clusterId, signal })));
    const names = others
      .filter((_, index) => healthy[index] !== true)
      .map(({ name, peerUrls }) => name || peerUrls.join());
    const needed = Math.floor((others.length + 1) / 2) + 1;
    if (names.length === 0 || others.length - names.length >= needed) return null;
    return `${names.join(", ")} ${names.length === 1 ? "is" : "are"} not healthy, and the quorum needs ${needed} of ${others.length + 1} members`;
  } catch (error) {
    signal.throwIfAborted();
    if (error instanceof KhwError) return `the other members are not known: ${error.message}`;
    throw error;
  }
}

/** Returns undefined if this machine's member does not answer. */
async function statusOf({ etcd }: Os, server: string, signal: AbortSignal): Promise<ServerStatus | undefined> {
  try {
    return await serverStatus(etcd, server, signal);
  } catch (error) {
    signal.throwIfAborted();
    if (error instanceof KhwError) return undefined;
    throw error;
  }
}
