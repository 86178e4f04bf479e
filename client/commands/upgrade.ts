import { type Upgrade, UpgradeState } from "../../proto/gen/khw/agent/v1/agent.ts";
import { openCluster, type OpenCluster, refuseNoNodes } from "../cluster/open.ts";
import { refuse } from "../../proto/validate.ts";
import { isManaged } from "../config/desired.ts";
import type { ClusterConfig } from "../config/schema.ts";
import { readEtcd } from "../etcd/overview.ts";
import { refuseReleaseRestore } from "../etcd/restore.ts";
import { nodeSnapshots, readSnapshots } from "../etcd/snapshots.ts";
import { openProgress, type Output } from "../progress/open.ts";
import { finalNote, note } from "../progress/progress.ts";
import type { Emulation } from "../release/emulation.ts";
import { isUnfinished } from "../release/path.ts";
import { releasesIn } from "../release/releases.ts";
import { downloadPrograms } from "../rollout/download.ts";
import { planRollout } from "../rollout/plan.ts";
import { tryPrograms } from "../rollout/trial.ts";
import { describeWarnings } from "../rollout/warnings.ts";
import { readCluster } from "../status/read.ts";
import { lastUpgrade } from "../status/upgrade.ts";
import type { Context } from "../terminal/context.ts";
import { refuseWithoutConsent } from "../upgrade/consent.ts";
import { chooseCourse, type Course } from "../upgrade/course.ts";
import { describePath, otherReleaseNote } from "../upgrade/describe.ts";
import { etcdFindings, healthFindings, type HealthFindings } from "../upgrade/health.ts";
import { snapshotPurpose } from "../upgrade/marked-snapshot.ts";
import { nodesAt, pathOptions } from "../upgrade/path.ts";
import { closeAbandoned, recordUpgrade, upgradeOf } from "../upgrade/record.ts";
import { rollUpgrade } from "../upgrade/roll.ts";
import { startUpgrade } from "../upgrade/run.ts";
import { readSettled } from "../upgrade/settled.ts";
import { snapshotBefore } from "../upgrade/snapshot.ts";

export interface UpgradeOptions {
  readonly output: Output;
  /** The requested release; empty if `back` is set. */
  readonly to: string;
  readonly back: boolean;
  /** Whether the new programs emulate the previous minor release. */
  readonly emulate: boolean;
  /** Whether to begin without asking for confirmation. */
  readonly yes: boolean;
  /** A command that must succeed after the first node has been upgraded; empty if there is no such command. */
  readonly gate: string;
  /** The number of nodes after which the upgrade stops; undefined if the upgrade runs to the end. */
  readonly pauseAfter: number | undefined;
  /** See ReleaseConsent. */
  readonly allowRemovedApis: boolean;
  /** Whether a node is left as it is after a failure, for inspection. */
  readonly noRollback: boolean;
}

/**
 * Changes the Kubernetes release of the whole cluster, node by node, or undoes the last change. Returns exit code 0, or
 * 130 after Ctrl-C; otherwise throws.
 */
export async function upgrade(config: ClusterConfig, context: Context, options: UpgradeOptions): Promise<number> {
  refuseNoNodes(config);
  const [progress, { signal }] = [await openProgress(options.output, context), context];
  const showing = { progress, signal };
  await using opened = await openCluster(config, signal);
  const emulation = emulationOf(options);
  const { course, last, findings, warnings } = await readSettled(() => examine(opened, options, signal), showing);
  const cluster = { ...opened, config: withRelease(config, course.to) };
  for (const text of describeWarnings(warnings)) note(progress, `warning: ${text}`);
  const advice = otherReleaseNote(config, course.to);
  if (advice !== undefined) note(progress, advice);
  const plan = await planRollout(cluster, {
    ...showing,
    mayCreateAddress: false,
    newCredentials: "refuse",
    unreachable: "refuse",
    allowDowngrade: course.direction === "back",
    allowEmulated: course.direction === "back",
    emulation,
    allowRemovedApis: options.allowRemovedApis,
    find: async () => findings,
  });
  const done = nodesAt(plan);
  const { emulated } = plan.releases;
  const facts = { emulatedVersion: emulated ?? "" };
  if (done.length === plan.work.length && course.unfinished === undefined) {
    // Closes the record of an upgrade that was killed before its first node; otherwise the record would stay open.
    if (last?.state === UpgradeState.UPGRADE_STATE_RUNNING && isSameUpgrade(course, last)) {
      const ended = {
        ...upgradeOf(course, { ...facts, snapshotId: last.snapshotId }),
        state: UpgradeState.UPGRADE_STATE_DONE,
      };
      await recordUpgrade(cluster.members, ended, progress);
    } else await closeAbandoned(cluster.members, plan, progress);
    const emulating = emulated === undefined ? "" : ` and emulates ${emulated}`;
    finalNote(progress, `every node runs Kubernetes ${course.to}${emulating}: there is nothing to do`);
    return 0;
  }
  await downloadPrograms(cluster, plan, showing);
  signal.throwIfAborted();
  await tryPrograms(plan.work, showing);
  for (const text of describePath(course, {
    ...pathOptions(config, plan),
    checked: !isUnfinished(plan.running.kubernetes),
  }))
    note(progress, text);
  await refuseWithoutConsent(context, options.yes);
  const purpose = snapshotPurpose(course.from, course.to);
  const snapshotId = course.unfinished?.snapshotId ?? (await snapshotBefore(cluster, purpose, showing));
  const record = upgradeOf(course, { ...facts, snapshotId });
  const asked = { ...options, env: context.env };
  const run = await startUpgrade(cluster, { ...showing, plan, course, record, asked });
  // The connections close when this function returns.
  return await rollUpgrade(cluster, run, { ...showing, plan, noRollback: options.noRollback });
}

function emulationOf({ back, emulate }: Pick<UpgradeOptions, "back" | "emulate">): Emulation {
  if (back && emulate) refuse("--emulate", "cannot be used with --back", "leave out --emulate");
  if (back) return "keep";
  return emulate ? "begin" : "end";
}

/** Whether the course ends the recorded upgrade, or undoes it. */
function isSameUpgrade({ direction, to }: Course, { toVersion }: Upgrade): boolean {
  return direction === "back" || to === toVersion;
}

interface Examination extends HealthFindings {
  readonly course: Course;
  /** The last upgrade that an agent has recorded. */
  readonly last: Upgrade | undefined;
}

/** Reads the health of the cluster, and everything that determines the course of the upgrade. */
async function examine(cluster: OpenCluster, { to, back }: UpgradeOptions, signal: AbortSignal): Promise<Examination> {
  const { config, members, cloud } = cluster;
  const [state, etcd, snapshots] = await Promise.all([
    readCluster(members, cloud, signal),
    isManaged(config) ? readEtcd(members, signal) : [],
    back && isManaged(config) ? readSnapshots(members, signal) : [],
  ]);
  signal.throwIfAborted();
  refuseReleaseRestore(etcd);
  const { nodes } = state;
  const statuses = nodes.flatMap(({ node, status }) => (status === undefined ? [] : [{ node, status }]));
  const running = releasesIn(statuses).kubernetes;
  const last = lastUpgrade(nodes);
  const course = chooseCourse({ to, back, running, last, snapshots: nodeSnapshots(snapshots) });
  // Finishing an interrupted update may fix the problems that the interruption caused. It does not fix etcd.
  const health = isUnfinished(running)
    ? { findings: etcdFindings(etcd), warnings: [] }
    : healthFindings(state, etcd, course.direction === "back");
  return { course, last, ...health };
}

function withRelease(config: ClusterConfig, version: string): ClusterConfig {
  return { ...config, kubernetes: { ...config.kubernetes, version } };
}
