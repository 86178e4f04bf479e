import { type DesiredState, hasEtcd, type WithEtcd } from "../../proto/desired.ts";
import { KhwError } from "../../proto/errors.ts";
import type { Step } from "../../proto/step.ts";
import { downgradeObstacle, etcdMinor } from "../etcd/cluster-version.ts";
import { moveLeader } from "../etcd/move-leader.ts";
import { quorumObstacle } from "../etcd/quorum-obstacle.ts";
import type { Os } from "../os/os.ts";

/** The two desired states of a rollback. */
export interface RollbackStates {
  /** The desired state that the failed Apply has applied completely or partly. */
  readonly from: DesiredState;
  readonly to: DesiredState;
}

/**
 * Turns the steps of the older desired state into the steps of a rollback. A rollback never replaces an etcd member. It
 * stops an etcd member only if the other members still have a quorum. A newer etcd is stopped before its programs
 * change, so that the cluster version cannot change in the meantime.
 */
export function rollbackSteps(steps: readonly Step<Os>[], { from, to }: RollbackStates): Step<Os>[] {
  if (!hasEtcd(to)) return [...steps];
  const guarded = steps.map((step) => {
    if (step.id === "etcd/member") return { ...step, apply: refuseRejoin };
    return step.id === "service/etcd" ? keepQuorum(step) : step;
  });
  if (!isOlderEtcd({ from, to })) return guarded;
  const changesEtcd = (id: string): boolean => id.startsWith("binary/etcd") || id === "unit/etcd";
  return insertBefore(guarded, changesEtcd, [keepQuorum(stopEtcd(to, steps))]);
}

/** Inserts steps before the first step that must wait for them. */
function insertBefore(
  steps: readonly Step<Os>[],
  waits: (id: string) => boolean,
  inserted: readonly Step<Os>[],
): Step<Os>[] {
  const first = steps.findIndex(({ id }) => waits(id));
  if (first === -1) return [...steps];
  const ids = inserted.map(({ id }) => id);
  const waiting = steps.map((step) => (waits(step.id) ? { ...step, needs: [...step.needs, ...ids] } : step));
  return waiting.toSpliced(first, 0, ...inserted);
}

/** Whether the rollback changes etcd to an older minor release. */
export function isOlderEtcd({ from, to }: RollbackStates): boolean {
  return hasEtcd(from) && hasEtcd(to) && etcdMinor(to.etcd.version) < etcdMinor(from.etcd.version);
}

async function refuseRejoin(): Promise<never> {
  throw new KhwError("NOT_READY", "a rollback does not replace an etcd member", {
    hint: "run the command again; the member then rejoins the cluster",
  });
}

/** Returns a guarded version of the step, which stops a healthy member only if the other members have a quorum. */
function keepQuorum(step: Step<Os>): Step<Os> {
  return {
    ...step,
    apply: async (os, context) => {
      const drift = await step.check(os, context.signal);
      const obstacle =
        drift?.process === "restart" ? await quorumObstacle(os, { mayPause: false, signal: context.signal }) : null;
      if (obstacle !== null) throw new KhwError("NOT_READY", `its etcd must not be stopped now: ${obstacle}`);
      await step.apply(os, context);
    },
  };
}

/**
 * Stops etcd if it is not running with the desired inputs, so that the cluster version cannot change. Starts etcd again
 * and fails if etcd must not be downgraded to the desired release.
 */
function stopEtcd(to: WithEtcd, steps: readonly Step<Os>[]): Step<Os> {
  const service = steps.find(({ id }) => id === "service/etcd");
  if (service === undefined) throw new TypeError("there is no step service/etcd");
  return {
    id: "stopped/etcd",
    title: `etcd can be downgraded to ${to.etcd.version}`,
    // The older programs may have to be downloaded first, while the newer etcd still runs.
    needs: ["release/etcd"],
    check: async (os, signal) => {
      const drift = await service.check(os, signal);
      return drift?.process === "restart" ? { summary: drift.summary, process: drift.process } : null;
    },
    apply: async (os, context) => {
      const { signal } = context;
      await moveLeader(os, context);
      await os.systemd.stop("etcd.service", signal);
      const obstacle = await downgradeObstacle(to, os, signal);
      if (obstacle === null) return;
      await os.systemd.start("etcd.service", signal);
      throw new KhwError("NOT_READY", obstacle, { hint: "run the command again to continue to the newer release" });
    },
  };
}
