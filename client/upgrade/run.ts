import { toKhwError } from "../../proto/errors.ts";
import { type Upgrade, UpgradeState } from "../../proto/gen/khw/agent/v1/agent.ts";
import type { OpenCluster } from "../cluster/open.ts";
import type { ProgressOptions } from "../progress/progress.ts";
import { createGates, type Gates, type GatesOptions } from "./gates.ts";
import { recordUpgrade } from "./record.ts";

/** An upgrade that has been recorded as running. */
export interface UpgradeRun {
  readonly record: Upgrade;
  readonly gates: Gates;
  /** Does the work of the upgrade, and records the end: done, paused, interrupted or failed. */
  readonly run: <T>(work: () => Promise<T>) => Promise<T>;
}

export interface StartUpgradeOptions extends ProgressOptions, Pick<GatesOptions, "course" | "plan"> {
  readonly record: Upgrade;
  /** The gates that the user asked for. Default: khw's own gates. */
  readonly asked?: Pick<GatesOptions, "gate" | "pauseAfter" | "env">;
}

/** Records the start of the upgrade on every agent. */
export async function startUpgrade(
  { members, config: { timeouts } }: OpenCluster,
  { record, asked = { gate: "", pauseAfter: undefined, env: {} }, ...options }: StartUpgradeOptions,
): Promise<UpgradeRun> {
  const { progress, signal } = options;
  await recordUpgrade(members, record, progress);
  const gates = createGates({ ...options, ...asked, timeouts });
  const save = (state: UpgradeState, error?: string): Promise<void> =>
    recordUpgrade(members, { ...record, state, report: [gates.report(), error].filter(Boolean).join("; ") }, progress);
  return {
    record,
    gates,
    run: async (work) => {
      try {
        const result = await work();
        const stopped = gates.paused() !== undefined || signal.aborted;
        await save(stopped ? UpgradeState.UPGRADE_STATE_STOPPED : UpgradeState.UPGRADE_STATE_DONE);
        return result;
      } catch (thrown) {
        const error = toKhwError(thrown);
        await save(UpgradeState.UPGRADE_STATE_STOPPED, error.message);
        throw error;
      }
    },
  };
}
