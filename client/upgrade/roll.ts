import type { Upgrade } from "../../proto/gen/khw/agent/v1/agent.ts";
import { conclude } from "../cluster/combine-errors.ts";
import type { OpenCluster } from "../cluster/open.ts";
import { finalNote, note, type ProgressOptions } from "../progress/progress.ts";
import type { RolloutPlan } from "../rollout/plan.ts";
import { rollNodes } from "../rollout/rolling-update.ts";
import { verifyCluster } from "../verify/verification.ts";
import type { UpgradeRun } from "./run.ts";

export interface UpgradeRoll {
  readonly plan: RolloutPlan;
  /** Whether to leave a failed node as it is, for inspection. */
  readonly noRollback: boolean;
}

/** Updates the nodes one by one, verifies the cluster, and records the result. */
export async function rollUpgrade(
  cluster: OpenCluster,
  upgrade: UpgradeRun,
  { plan, noRollback, ...options }: UpgradeRoll & ProgressOptions,
): Promise<number> {
  const { progress, signal } = options;
  const { gates, record } = upgrade;
  try {
    await upgrade.run(async () => {
      const outcomes = await rollNodes(cluster, plan, { ...options, between: gates.between, noRollback });
      await gates.last(outcomes);
      if (gates.paused() !== undefined) return;
      const errors = outcomes.flatMap(({ error }) => error ?? []);
      conclude([...gates.failures(), ...errors], {
        done: outcomes.length - errors.length,
        headline: "the upgrade stopped",
        hint: "fix this, then run the same command again, or roll back with khw-client upgrade --back",
      });
      const target = { ...plan, nodes: plan.work.map(({ node }) => node) };
      const waitMillis = cluster.config.timeouts.verify;
      const failed = await verifyCluster(cluster, target, { ...options, waitMillis, show: "all" });
      signal.throwIfAborted();
      conclude(failed, { done: 0, headline: "every node is done, but the cluster is not working correctly" });
    });
  } catch (error) {
    if (!signal.aborted) throw error;
    note(progress, "interrupted between two nodes: run the same command again to continue");
    return 130;
  }
  const paused = gates.paused();
  finalNote(
    progress,
    paused === undefined ? describeEnd(record) : `${paused}; the same command without --pause-after continues`,
  );
  return 0;
}

function describeEnd({ toVersion, emulatedVersion }: Upgrade): string {
  if (emulatedVersion === "") return `every node runs Kubernetes ${toVersion}`;
  return (
    `every node runs Kubernetes ${toVersion}, which emulates ${emulatedVersion}: khw-client upgrade --to ${toVersion} ` +
    "ends the emulation, and upgrade --back is possible until then"
  );
}
