import { type KhwError, toKhwError } from "../../proto/errors.ts";
import type { OpenCluster } from "../cluster/open.ts";
import { note, type ProgressOptions } from "../progress/progress.ts";
import { changesRelease, distinct, isUnfinished, isWayBack } from "../release/path.ts";
import type { Prepared, RolloutPlan } from "../rollout/plan.ts";
import { describeWarnings } from "../rollout/warnings.ts";
import { configuredCourse } from "./course.ts";
import { describePath } from "./describe.ts";
import { type HealthFindings, readHealth } from "./health.ts";
import { snapshotPurpose } from "./marked-snapshot.ts";
import { pathOptions } from "./path.ts";
import { closeAbandoned, upgradeOf } from "./record.ts";
import { startUpgrade, type UpgradeRun } from "./run.ts";
import { readSettled } from "./settled.ts";
import { snapshotBefore } from "./snapshot.ts";

/**
 * Reads the health of the nodes that already run Kubernetes, before `bootstrap` begins a change of the Kubernetes
 * release. Checks nothing if the release does not change. Also checks nothing if an update is unfinished, because
 * `bootstrap` may have to repair the cluster.
 */
export async function readConfiguredHealth(
  { config, members, cloud }: Pick<OpenCluster, "config" | "members" | "cloud">,
  { running: { kubernetes }, releases }: Pick<Prepared, "running" | "releases">,
  options: ProgressOptions,
): Promise<HealthFindings> {
  if (isUnfinished(kubernetes) || !changesRelease(kubernetes, releases.kubernetes)) {
    return { findings: [], warnings: [] };
  }
  const names = new Set(kubernetes.map(({ node }) => node));
  const running = { config, cloud, members: members.filter(({ node }) => names.has(node.address.name)) };
  const isBack = isWayBack(kubernetes, releases.kubernetes);
  return readSettled(() => readHealth(running, { isBack, signal: options.signal }), options);
}

/** Returns the health problems that prevent `bootstrap` from changing the release, and prints the warnings. */
export async function findUnhealthy(
  cluster: Pick<OpenCluster, "config" | "members" | "cloud">,
  prepared: Pick<Prepared, "running" | "releases">,
  options: ProgressOptions,
): Promise<readonly KhwError[]> {
  const { findings, warnings } = await readConfiguredHealth(cluster, prepared, options);
  for (const text of describeWarnings(warnings)) note(options.progress, `warning: ${text}`);
  const [current] = distinct(prepared.running.kubernetes);
  if (findings.length > 0 && current !== undefined)
    note(
      options.progress,
      `to repair the cluster first, set kubernetes.version to ${current} and run khw-client bootstrap`,
    );
  return findings;
}

/**
 * Begins the change to the release that khw.yaml sets: prints the path, takes a snapshot, and records the upgrade.
 * Returns undefined if the Kubernetes release does not change and no upgrade to this release is unfinished. If only the
 * etcd release changes, takes only the snapshot.
 */
export async function startConfiguredUpgrade(
  cluster: OpenCluster,
  plan: Pick<RolloutPlan, "running" | "releases" | "lastUpgrade" | "work" | "admin" | "publicAddress">,
  options: ProgressOptions,
): Promise<UpgradeRun | undefined> {
  const { running, releases, lastUpgrade } = plan;
  const course = configuredCourse(running.kubernetes, releases.kubernetes, lastUpgrade);
  if (course === undefined) {
    const [oldest = ""] = distinct(running.etcd);
    // If two etcd releases run side by side, an earlier run has taken the snapshot.
    if (changesRelease(running.etcd, releases.etcd) && !isUnfinished(running.etcd))
      await snapshotIfPossible(cluster, `update of etcd from ${oldest} to ${releases.etcd}`, options);
    await closeAbandoned(cluster.members, plan, options.progress);
    return undefined;
  }
  const { from, to, unfinished } = course;
  const isBegun = isUnfinished(running.kubernetes);
  const path = { ...pathOptions(cluster.config, plan), checked: !isBegun };
  if (path.done.length < path.nodes.length) for (const text of describePath(course, path)) note(options.progress, text);
  const take = isBegun ? snapshotIfPossible : snapshotBefore;
  const snapshotId = unfinished?.snapshotId ?? (await take(cluster, snapshotPurpose(from, to), options));
  const record = upgradeOf(course, { snapshotId, emulatedVersion: releases.emulated ?? "" });
  return await startUpgrade(cluster, { ...options, plan, course, record });
}

/** If no etcd member answers, `bootstrap` may be needed to repair etcd, so it continues without a snapshot. */
async function snapshotIfPossible(cluster: OpenCluster, purpose: string, options: ProgressOptions): Promise<string> {
  try {
    return await snapshotBefore(cluster, purpose, options);
  } catch (thrown) {
    options.signal.throwIfAborted();
    const error = toKhwError(thrown);
    if (error.code !== "NOT_READY") throw error;
    note(options.progress, `warning: no snapshot was taken: ${error.message}`);
    return "";
  }
}
