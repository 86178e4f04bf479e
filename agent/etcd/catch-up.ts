import { KhwError } from "../../proto/errors.ts";
import { clientUrl } from "../../proto/etcd.ts";
import type { ApplyContext } from "../../proto/step.ts";
import { type Look, waitFor } from "../../proto/wait-for.ts";
import type { Os } from "../os/os.ts";
import { type ServerStatus, serverStatus } from "./api.ts";
import { hexId, type Identified } from "./record.ts";

const unit = "etcd.service";
/** The time limit for catching up, which is enough to send a snapshot of several gigabytes. */
const catchUpMillis = 600_000;
const intervalMillis = 500;

export interface CatchUp extends ApplyContext {
  /** The member that must be running on this machine. */
  readonly member: Identified;
  /**
   * Called with the member's status once it has found a leader. Returns a description of what the member still lacks;
   * undefined if the member has everything. If the call fails, the member has not caught up yet.
   */
  readonly lacks: (status: ServerStatus) => Promise<string | undefined>;
}

/**
 * Waits until this machine's member has caught up.
 * @throws KhwError NOT_READY if the member does not catch up in time, or if etcd has failed
 */
export async function untilCaughtUp(
  { etcd, clock, systemd, identity }: Os,
  { member: { memberId }, lacks, signal, progress }: CatchUp,
): Promise<void> {
  const overdue = (lacking: string): KhwError =>
    new KhwError("NOT_READY", `the member ${hexId(memberId)} has not caught up: ${lacking}`, {
      hint: `see \`journalctl --unit=${unit}\` on the node for the reason; to continue, run \`khw-client bootstrap\``,
    });
  await waitFor({
    what: `the member ${hexId(memberId)} has not caught up`,
    check: async (): Promise<Look<void>> => {
      const lacking = await findLacking();
      if (lacking === undefined) return { reached: undefined };
      if ((await systemd.unit(unit)).activeState === "failed") throw overdue(lacking);
      return { seen: lacking };
    },
    deadlineMillis: catchUpMillis,
    intervalMillis,
    signal,
    progress,
    late: ({ seen }) => overdue(seen),
    clock,
  });

  async function findLacking(): Promise<string | undefined> {
    try {
      const status = await serverStatus(etcd, clientUrl(identity), signal);
      if (status.memberId !== memberId) return `another member, ${hexId(status.memberId)}, answers`;
      if (status.leader === "0") return "it has found no leader";
      return await lacks(status);
    } catch (error) {
      signal.throwIfAborted();
      if (!(error instanceof KhwError)) throw error;
      return error.message;
    }
  }
}
