import { KhwError, toKhwError } from "../../proto/errors.ts";
import { type Upgrade, UpgradeState } from "../../proto/gen/khw/agent/v1/agent.ts";
import { conclude } from "../cluster/combine-errors.ts";
import { openCluster, type OpenCluster, refuseNoNodes } from "../cluster/open.ts";
import { isManaged } from "../config/desired.ts";
import type { ClusterConfig } from "../config/schema.ts";
import { takeSnapshot } from "../etcd/take-snapshot.ts";
import { openProgress, type Output } from "../progress/open.ts";
import { finalNote, note, type ProgressOptions } from "../progress/progress.ts";
import { distinct } from "../release/path.ts";
import { releasesIn } from "../release/releases.ts";
import { downloadPrograms } from "../rollout/download.ts";
import { planRollout, type RolloutPlan } from "../rollout/plan.ts";
import { rollNodes } from "../rollout/rolling-update.ts";
import { tryPrograms } from "../rollout/trial.ts";
import { readCluster } from "../status/read.ts";
import { lastUpgrade } from "../status/upgrade.ts";
import type { Context } from "../terminal/context.ts";
import { chooseCourse, type Course } from "../upgrade/course.ts";
import { describePath } from "../upgrade/describe.ts";
import { gatesBetween, type Gates } from "../upgrade/gates.ts";
import { healthFindings } from "../upgrade/health.ts";
import { recordUpgrade, upgradeOf } from "../upgrade/record.ts";
import { verifyCluster } from "../verify/verification.ts";

export interface UpgradeOptions {
  readonly output: Output;
  /** The wanted release; empty with `back`. */
  readonly to: string;
  readonly back: boolean;
  /** Begin without a question. */
  readonly yes: boolean;
  /** A command that must succeed after the first node; empty: none. */
  readonly gate: string;
  /** Stop after this many nodes; undefined: no stop. */
  readonly pauseAfter: number | undefined;
  /** See ReleaseConsent. */
  readonly allowRemovedApis: boolean;
}

/**
 * Changes the Kubernetes release of the whole cluster, node by node, or undoes the last change. Exit code 0, 130 after Ctrl-C, or an
 * error.
 */
export async function upgrade(config: ClusterConfig, context: Context, options: UpgradeOptions): Promise<number> {
  refuseNoNodes(config);
  const [progress, { signal }] = [await openProgress(options.output, context), context];
  const showing = { progress, signal };
  await using opened = await openCluster(config, signal);
  const { course, findings } = await examine(opened, options, signal);
  const cluster = { ...opened, config: withRelease(config, course.to) };
  noteOtherRelease(config, course, showing);
  const plan = await planRollout(cluster, {
    ...showing,
    mayCreateAddress: false,
    newCredentials: "refuse",
    unreachable: "refuse",
    allowDowngrade: course.direction === "back",
    allowRemovedApis: options.allowRemovedApis,
    found: findings,
  });
  const done = nodesAt(plan, course.to);
  if (done.length === plan.work.length && course.unfinished === undefined) {
    finalNote(progress, `every node runs Kubernetes ${course.to}: there is nothing to do`);
    return 0;
  }
  await downloadPrograms(cluster, plan, showing);
  signal.throwIfAborted();
  await tryPrograms(plan.work, showing);
  for (const text of describePath(course, pathOptions(cluster, plan, done))) note(progress, text);
  await consent(context, options.yes);
  const snapshotId = course.unfinished?.snapshotId ?? (await snapshotBefore(cluster, course, showing));
  const record = upgradeOf(course, snapshotId);
  await recordUpgrade(cluster.members, record, progress);
  const gates = gatesBetween({ ...options, context, progress, course, plan, timeouts: config.timeouts });
  // The connections close when this function returns.
  return await roll(cluster, { plan, record, gates }, showing);
}

/** Reads everything that decides about the course, and about the health of the cluster. */
async function examine(
  cluster: OpenCluster,
  { to, back }: UpgradeOptions,
  signal: AbortSignal,
): Promise<{ readonly course: Course; readonly findings: readonly KhwError[] }> {
  const [{ nodes }, findings] = await Promise.all([
    readCluster(cluster.members, undefined, signal),
    healthFindings(cluster, signal),
  ]);
  const statuses = nodes.flatMap(({ node, status }) => (status === undefined ? [] : [{ node, status }]));
  const running = releasesIn(statuses).kubernetes;
  const course = chooseCourse({ to, back, running, last: lastUpgrade(nodes) });
  // An unfinished update can be the remedy for what it left.
  return { course, findings: distinct(running).length > 1 ? [] : findings };
}

function withRelease(config: ClusterConfig, version: string): ClusterConfig {
  return { ...config, kubernetes: { ...config.kubernetes, version } };
}

/** The next plain bootstrap would go to the configured release, which is refused as a downgrade. */
function noteOtherRelease({ kubernetes }: ClusterConfig, { to }: Course, { progress }: ProgressOptions): void {
  const { version } = kubernetes;
  if (version === undefined || version === to) return;
  note(
    progress,
    `kubernetes.version is ${version}, and this command goes to ${to}: set kubernetes.version to ${to} in khw.yaml, ` +
      "since the next bootstrap uses khw.yaml",
  );
}

function nodesAt({ running, work }: Pick<RolloutPlan, "running" | "work">, version: string): string[] {
  return work
    .map(({ node }) => node.address.name)
    .filter((name) => {
      const own = running.kubernetes.filter(({ node }) => node === name);
      return own.length > 0 && own.every((release) => release.version === version);
    });
}

function pathOptions({ config }: OpenCluster, { work, running, releases }: RolloutPlan, done: readonly string[]) {
  const [oldest = releases.etcd] = distinct(running.etcd);
  const etcd = isManaged(config) ? { from: oldest, to: releases.etcd } : undefined;
  return { nodes: work.map(({ node }) => node.address.name), done, etcd };
}

/** @throws KhwError CANCELLED if the user refuses; INVALID_ARGUMENT without a terminal to ask at */
async function consent({ confirm }: Context, yes: boolean): Promise<void> {
  if (yes) return;
  if (confirm === undefined) {
    throw new KhwError("INVALID_ARGUMENT", "an upgrade asks before it begins, and there is no terminal to ask at", {
      hint: "repeat the command with --yes; nothing was changed",
    });
  }
  if (await confirm("Begin? [y/N] ")) return;
  throw new KhwError("CANCELLED", "not begun; nothing was changed");
}

/** Returns the id of the snapshot; empty if khw does not manage etcd. */
async function snapshotBefore(
  { config, members }: OpenCluster,
  course: Course,
  options: ProgressOptions,
): Promise<string> {
  if (!isManaged(config)) return "";
  const purpose = `upgrade from ${course.from} to ${course.to}`;
  const { snapshot, node } = await takeSnapshot(members, { signal: options.signal, purpose });
  note(options.progress, `snapshot ${snapshot.id} on ${node}: taken, verified, and kept for this upgrade`);
  return snapshot.id;
}

interface Roll {
  readonly plan: RolloutPlan;
  readonly record: Upgrade;
  readonly gates: Gates;
}

/** Rolls the nodes, verifies the cluster, and records the result. */
async function roll(cluster: OpenCluster, { plan, record, gates }: Roll, options: ProgressOptions): Promise<number> {
  const { progress, signal } = options;
  const save = (state: UpgradeState, report: string): Promise<void> =>
    recordUpgrade(cluster.members, { ...record, state, report }, progress);
  try {
    const outcomes = await rollNodes(cluster, plan, { ...options, between: gates.between });
    if (gates.paused() !== undefined) {
      await save(UpgradeState.UPGRADE_STATE_STOPPED, gates.report());
      finalNote(progress, `${gates.paused()}; the same command without --pause-after continues`);
      return 0;
    }
    const errors = outcomes.flatMap(({ error }) => error ?? []);
    conclude([...gates.failures(), ...errors], {
      done: outcomes.length - errors.length,
      headline: "the upgrade stopped",
      hint: "correct this, then run the same command again, or go back with khw-client upgrade --back",
    });
    const target = { ...plan, nodes: plan.work.map(({ node }) => node) };
    const waitMillis = cluster.config.timeouts.verify;
    const failed = await verifyCluster(cluster, target, { ...options, waitMillis, show: "all" });
    signal.throwIfAborted();
    conclude(failed, { done: 0, headline: "every node is done, and the cluster does not work as it should" });
  } catch (thrown) {
    const error = toKhwError(thrown);
    await save(UpgradeState.UPGRADE_STATE_STOPPED, [gates.report(), error.message].filter(Boolean).join("; "));
    if (signal.aborted) return interrupted(progress);
    throw error;
  }
  await save(UpgradeState.UPGRADE_STATE_DONE, gates.report());
  finalNote(progress, `every node runs Kubernetes ${record.toVersion}`);
  return 0;
}

function interrupted(progress: ProgressOptions["progress"]): number {
  note(progress, "interrupted between two nodes: run the same command again to continue");
  return 130;
}
