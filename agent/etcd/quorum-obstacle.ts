import { KhwError } from "../../proto/errors.ts";
import { clientUrl } from "../../proto/etcd.ts";
import type { ApplyContext } from "../../proto/step.ts";
import { type Look, waitFor } from "../../proto/wait-for.ts";
import { healthCheckOf } from "../health/health.ts";
import type { Os } from "../os/os.ts";
import { probeLiveness } from "../health/liveness.ts";
import { listMembers, type ServerStatus, serverStatus } from "./api.ts";
import { isHealthy } from "./member-health.ts";

export interface QuorumOptions {
  /**
   * Whether etcd may be without a quorum for the time of a restart if all other members are healthy. A cluster of two
   * members always loses its quorum during a restart.
   */
  readonly mayPause: boolean;
  readonly signal: AbortSignal;
}

/**
 * Returns why this machine's member must not be stopped now; null if it may be stopped. The member may be stopped if
 * the other members have a quorum on their own. It may also be stopped if it is dead, if it is the only member, or if it
 * has no leader, because etcd then has no quorum to lose. An administrator's change (`mayPause`) may restart any member
 * that does not answer, because the change may repair it, for example with a new certificate. Reads the members from
 * etcd, because a new member can join before this machine's desired state lists the new member.
 */
export async function quorumObstacle(os: Os, { mayPause, signal }: QuorumOptions): Promise<string | null> {
  const { etcd, identity } = os;
  const own = clientUrl(identity);
  const status = await settledStatus(os, own, signal);
  if (status === undefined) return mayPause ? null : silenceObstacle(os, signal);
  if (status.leader === "0" || status.learner) return null;
  const { clusterId, memberId } = status;
  try {
    const others = (await listMembers(etcd, own, signal)).filter((member) => member.id !== memberId && !member.learner);
    if (others.length === 0) return null;
    const healthy = await Promise.all(others.map((member) => isHealthy(os, { member, clusterId, signal })));
    const failed = others.filter((_, index) => healthy[index] !== true);
    const [count, total] = [others.length - failed.length, others.length + 1];
    const needed = Math.floor(total / 2) + 1;
    if (count >= needed || (mayPause && failed.length === 0)) return null;
    const names = failed.map(({ name, peerUrls }) => `${name || peerUrls.join()} is not healthy`);
    const loss = `the quorum needs ${needed} of ${total} members, but without this one only ${count} would be healthy`;
    return [loss, ...names].join("; ");
  } catch (error) {
    signal.throwIfAborted();
    if (error instanceof KhwError) return `the other members are not known: ${error.message}`;
    throw error;
  }
}

/**
 * Returns an obstacle unless there is evidence that this machine's member is dead. Otherwise, the cause of the missing
 * answer may be the agent's own certificate or clock, and the member may be healthy.
 */
async function silenceObstacle(os: Os, signal: AbortSignal): Promise<string | null> {
  const { liveness, reason } = await probeLiveness(healthCheckOf("etcd"), os, { signal, apiServerWell: true });
  if (liveness.kind === "dead") return null;
  return `the member does not answer the agent, but nothing proves that it is down: ${reason ?? "it is healthy"}`;
}

/** A member that has just started may need some seconds to find the leader. */
const deadlineMillis = 30_000;
const intervalMillis = 1_000;

/**
 * Waits until this machine's member may be stopped for a restart.
 * @throws KhwError WOULD_INTERRUPT
 */
export async function demandQuorum(os: Os, { signal, progress }: ApplyContext): Promise<void> {
  await waitFor({
    what: "etcd would lose its quorum",
    check: async (): Promise<Look<void>> => {
      const obstacle = await quorumObstacle(os, { mayPause: true, signal });
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

const electionMillis = 3_000;

/** Returns the status of this machine's member. If the member has no leader, an election gets a few seconds to end. */
async function settledStatus(os: Os, server: string, signal: AbortSignal): Promise<ServerStatus | undefined> {
  const status = await statusOf(os, server, signal);
  if (status?.leader !== "0") return status;
  await os.clock.delay(electionMillis, signal);
  return statusOf(os, server, signal);
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
