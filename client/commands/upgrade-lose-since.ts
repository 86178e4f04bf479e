import { randomUUID } from "node:crypto";
import { KhwError, toKhwError } from "../../proto/errors.ts";
import { Upgrade, UpgradeState } from "../../proto/gen/khw/agent/v1/agent.ts";
import { conclude } from "../cluster/combine-errors.ts";
import { openCluster, type OpenCluster, refuseNoNodes } from "../cluster/open.ts";
import type { ClusterConfig } from "../config/schema.ts";
import { nodeSource } from "../etcd/distribute.ts";
import { memberOf, type NodeEtcd, readEtcd } from "../etcd/overview.ts";
import { refuseAbsent, type RestoreRun } from "../etcd/restore.ts";
import { confirmRestored } from "../etcd/serving-again.ts";
import { showRestore } from "../etcd/show-restore.ts";
import { nodeSnapshots, readSnapshots } from "../etcd/snapshots.ts";
import { pinPrograms } from "../lock/lock.ts";
import { openProgress, type Output } from "../progress/open.ts";
import { finalNote, note, type ProgressOptions } from "../progress/progress.ts";
import { readReleases } from "../release/releases.ts";
import { downloadPrograms } from "../rollout/download.ts";
import { planRollout, prepare, type Prepared } from "../rollout/plan.ts";
import { tryPrograms } from "../rollout/trial.ts";
import { lastUpgrade } from "../status/upgrade.ts";
import type { Context } from "../terminal/context.ts";
import { chooseRestore, type RestoreCourse } from "../upgrade/choose-restore.ts";
import { refuseWithoutConsent } from "../upgrade/consent.ts";
import { describeLoss, otherReleaseNote } from "../upgrade/describe.ts";
import { recordUpgrade } from "../upgrade/record.ts";
import { findDrained, verifyCluster } from "../verify/verification.ts";

export interface LoseSinceOptions {
  readonly output: Output;
  /** The time of the snapshot, exactly as `upgrade --back` prints it. */
  readonly time: string;
  /** Whether to begin without asking for confirmation. */
  readonly yes: boolean;
}

/**
 * Undoes a finished upgrade to a new minor release: restores the snapshot that the upgrade took at its start, together
 * with the programs of the previous release. Continues an interrupted restore. Returns exit code 0, or 130 if the
 * restore was interrupted between two phases; otherwise throws.
 */
export async function upgradeLosingSince(
  config: ClusterConfig,
  context: Context,
  { output, time, yes }: LoseSinceOptions,
): Promise<number> {
  refuseNoNodes(config);
  const [progress, { signal }] = [await openProgress(output, context), context];
  const showing = { progress, signal };
  await using opened = await openCluster(config, signal);
  const { course, last, etcd } = await examine(opened, time, signal);
  const cluster = { ...opened, config: withReleases(config, course) };
  const advice = otherReleaseNote(config, course.to);
  if (advice !== undefined) note(progress, advice);
  const plan = course.stage === "begin" ? await checkedPlan(cluster, showing) : await planOnly(cluster, signal);
  const record = recordOf(course, last);
  if (course.stage === "done") {
    await conclusion(cluster, { course, plan, record }, showing);
    finalNote(progress, `every node runs Kubernetes ${course.to} again: there is nothing to restore`);
    return 0;
  }
  const nodes = plan.work.map(({ node }) => node.address.name);
  for (const text of describeLoss(course, { nodes, revision: newestRevision(etcd) })) note(progress, text);
  // The user already gave consent for the same snapshot time when the interrupted restore began.
  if (course.stage === "begin") await refuseWithoutConsent(context, yes);
  return await restoreRelease(cluster, { course, plan, record }, showing);
}

interface Examination {
  readonly course: RestoreCourse;
  readonly last: Upgrade | undefined;
  readonly etcd: readonly NodeEtcd[];
}

async function examine({ members }: OpenCluster, time: string, signal: AbortSignal): Promise<Examination> {
  const etcd = await readEtcd(members, signal);
  refuseAbsent(members, etcd);
  const [{ running, statuses }, answers] = await Promise.all([
    readReleases(members, signal),
    readSnapshots(members, signal),
  ]);
  signal.throwIfAborted();
  const [failed] = [...running.unread, ...answers.flatMap(({ error }) => error ?? [])];
  if (failed !== undefined) throw failed;
  const last = lastUpgrade(statuses);
  return { course: chooseRestore({ time, last, running, etcd, snapshots: nodeSnapshots(answers) }), last, etcd };
}

/** The restore keeps the running etcd release, even if khw.yaml sets another. */
function withReleases(config: ClusterConfig, { to, etcd }: RestoreCourse): ClusterConfig {
  return {
    ...config,
    kubernetes: { ...config.kubernetes, version: to },
    etcd: { ...config.etcd, version: etcd },
  };
}

const planOptions = {
  mayCreateAddress: false,
  newCredentials: "refuse",
  allowDowngrade: true,
  restoresData: true,
  emulation: "end",
} as const;

/** Checks all nodes and downloads the programs before anything is stopped. */
async function checkedPlan(cluster: OpenCluster, showing: ProgressOptions): Promise<Prepared> {
  const plan = await planRollout(cluster, { ...showing, ...planOptions, unreachable: "refuse" });
  // A node whose API server is down does not count as restarting, but the node needs the programs too.
  const all = { work: plan.work, restarting: new Set(plan.work.map(({ node }) => node)) };
  await downloadPrograms(cluster, all, showing);
  showing.signal.throwIfAborted();
  await tryPrograms(plan.work, showing);
  return plan;
}

/** Once the restore has begun, the API servers are stopped, so the checks cannot run again. */
async function planOnly(cluster: OpenCluster, signal: AbortSignal): Promise<Prepared> {
  const prepared = await prepare(cluster, { ...planOptions, signal });
  return { ...prepared, work: await pinPrograms(cluster, prepared.work) };
}

/** Returns the record of a new or continued restore. */
function recordOf({ from, to, snapshot }: RestoreCourse, last: Upgrade | undefined): Upgrade {
  return Upgrade.fromPartial({
    id: last?.restoresSnapshot === true ? last.id : randomUUID(),
    fromVersion: from,
    toVersion: to,
    snapshotId: snapshot.snapshot.id,
    state: UpgradeState.UPGRADE_STATE_RUNNING,
    restoresSnapshot: true,
  });
}

function newestRevision(nodes: readonly NodeEtcd[]): number {
  return Math.max(0, ...nodes.flatMap((node) => memberOf(node)?.revision ?? []));
}

interface ReleaseRestore {
  readonly course: RestoreCourse;
  readonly plan: Prepared;
  readonly record: Upgrade;
}

async function restoreRelease(
  cluster: OpenCluster,
  restore: ReleaseRestore,
  { progress, signal }: ProgressOptions,
): Promise<number> {
  const { members, config } = cluster;
  const { course, plan, record } = restore;
  const source = nodeSource(course.snapshot, members);
  let begun = course.stage === "continue";
  const desired = new Map(plan.work.map((item) => [item.node.address.name, item.desired]));
  const held = async (): Promise<void> => {
    begun = true;
    // Nothing changes before this point. Until then, the record of the upgrade to undo must remain.
    await recordUpgrade(members, record, progress);
  };
  const run: RestoreRun = {
    id: course.restoreId,
    source,
    members,
    controllers: plan.controllers,
    release: { version: course.to, desired, held },
  };
  try {
    if (!(await showRestore(run, { progress, signal }))) return 130;
    const result = await confirmRestored(members, source, { signal, timeoutMillis: config.timeouts.verify });
    await conclusion(cluster, restore, { progress, signal });
    finalNote(progress, `every node runs Kubernetes ${course.to}; ${result}`);
    return 0;
  } catch (thrown) {
    const error = toKhwError(thrown);
    const state = UpgradeState.UPGRADE_STATE_STOPPED;
    if (begun) await recordUpgrade(members, { ...record, state, report: error.message }, progress);
    throw error;
  }
}

/** Verifies the cluster from outside, and records that the restore is done. */
async function conclusion(
  cluster: OpenCluster,
  { plan, record }: ReleaseRestore,
  { progress, signal }: ProgressOptions,
): Promise<void> {
  const { members, config } = cluster;
  const drained = await findDrained(members, signal);
  const target = { ...plan, nodes: plan.work.map(({ node }) => node), drained };
  const waitMillis = config.timeouts.verify;
  const failed = await verifyCluster(cluster, target, { progress, signal, waitMillis, show: "all" });
  signal.throwIfAborted();
  conclude(failed, { done: 0, headline: "the snapshot is restored, but the cluster does not work correctly" });
  await recordUpgrade(members, { ...record, state: UpgradeState.UPGRADE_STATE_DONE }, progress);
}

/**
 * Rejects --lose-since without --back, or with any of the other options.
 * @throws KhwError INVALID_ARGUMENT
 */
export function refuseOtherOptions(options: {
  readonly back: boolean;
  readonly others: Readonly<Record<string, boolean>>;
}): void {
  const hint = "for example khw-client upgrade --back --lose-since 2026-01-31T12:00:00.000Z";
  if (!options.back) throw new KhwError("INVALID_ARGUMENT", "--lose-since needs --back", { hint });
  const [given] = Object.entries(options.others).flatMap(([name, isGiven]) => (isGiven ? name : []));
  if (given === undefined) return;
  throw new KhwError("INVALID_ARGUMENT", `--lose-since cannot be used with ${given}: all nodes change together`, {
    hint,
  });
}
