import { fromDetail, type KhwError, toDetail, toKhwError } from "../../proto/errors.ts";
import type { PlanResponse } from "../../proto/gen/khw/agent/v1/agent.ts";
import { planSteps } from "../../proto/step.ts";
import { readOwnRole } from "../cluster/own-role.ts";
import { openCluster, type OpenCluster } from "../cluster/open.ts";
import { withoutContent } from "../config/desired.ts";
import type { ClusterConfig } from "../config/schema.ts";
import type { Context } from "../terminal/context.ts";
import { pinPrograms } from "../lock/lock.ts";
import { planManifests } from "../manifests/plan.ts";
import { readManifests } from "../manifests/read.ts";
import { planChecks, type PlanChecks, silent } from "../rollout/plan-checks.ts";
import { describeWarnings } from "../rollout/warnings.ts";
import { groupLines } from "../terminal/group-lines.ts";
import { prepare, type Prepared } from "../rollout/plan.ts";
import type { Output } from "../progress/open.ts";
import { leftToYou } from "../progress/step-text.ts";
import { loadBalancerTrack } from "../progress/progress.ts";
import { isUnfinished } from "../release/path.ts";
import { readConfiguredHealth } from "../upgrade/configured.ts";
import { configuredCourse } from "../upgrade/course.ts";
import { describePath } from "../upgrade/describe.ts";
import { pathOptions } from "../upgrade/path.ts";

export interface PlanOptions {
  readonly output: Output;
  /** See PrepareOptions. */
  readonly allowDowngrade: boolean;
  /** See ReleaseConsent. */
  readonly allowRemovedApis: boolean;
}

/** A step whose check found a difference, or whose check failed. */
interface StepDifference {
  readonly track: string;
  readonly step: string;
  readonly title: string;
  readonly drift?: string | undefined;
  /** The action that a person must take, because bootstrap does not change this difference. */
  readonly remedy?: string | undefined;
  readonly error?: KhwError | undefined;
}

const somethingToDo = 2;

/**
 * Prints the changes that bootstrap would make on each node and in the Compute API, and anything that would stop
 * bootstrap. Downloads the new programs if the release changes, so that their flags can be checked. Changes nothing
 * else. Returns exit code 0 if bootstrap would change nothing, otherwise 2.
 */
export async function plan(
  config: ClusterConfig,
  { signal, write }: Context,
  { output, allowDowngrade, allowRemovedApis }: PlanOptions,
): Promise<number> {
  const manifests = await readManifests(config);
  await using cluster = await openCluster(config, signal);
  const open = await prepare(cluster, {
    signal,
    mayCreateAddress: false,
    newCredentials: "imagine",
    allowDowngrade,
  });
  const work = await pinPrograms(cluster, open.work).catch((thrown: unknown) => {
    if (open.releaseObstacles.length === 0) throw thrown;
    // If the release cannot be changed at all, missing digests do not matter.
    return open.work;
  });
  const prepared = { ...open, work };
  const steps = [
    ...planMembership(prepared),
    ...planCredentials(prepared, config),
    ...(
      await Promise.all([
        planNodes(prepared, signal),
        planLoadBalancer(cluster, signal),
        planManifests(manifests, prepared, signal),
      ])
    ).flat(),
  ];
  const isAdministrator = (await readOwnRole(config)) === "admin";
  // The downloads come last, so that the list of changes includes them.
  const checks = await planChecks(cluster, prepared, { isAdministrator, allowRemovedApis, signal });
  const health = await readConfiguredHealth(cluster, prepared, { progress: silent, signal });
  const result = {
    release: releaseChange(config, prepared, checks),
    differences: [
      ...prepared.releaseObstacles.map(toDifference("release", "the release can be changed")),
      ...health.findings.map(toDifference("health", "the cluster is healthy")),
      ...steps,
      ...checks.findings
        .filter((finding) => !steps.some(({ track, error }) => isSame(finding, track, error)))
        .map(toDifference("preflight", "the change can start")),
    ],
    unreachable: prepared.unreachable,
    warnings: [...health.warnings, ...checks.warnings],
    notes: prepared.membership.warnings,
    skipped: checks.skipped,
  };
  write(output === "json" ? planDocument(result) : planText(result));
  const [failed] = [...result.unreachable, ...result.differences.flatMap(({ error }) => error ?? [])];
  if (failed !== undefined) throw failed;
  return result.differences.every(({ remedy }) => remedy !== undefined) ? 0 : somethingToDo;
}

interface PlanResult extends Pick<PlanChecks, "warnings" | "skipped"> {
  /** The lines that describe the change of the Kubernetes release; empty if the release does not change. */
  readonly release: readonly string[];
  readonly differences: readonly StepDifference[];
  readonly unreachable: readonly KhwError[];
  /** Warnings about a list of controllers that works, but has disadvantages. */
  readonly notes: readonly string[];
}

function toDifference(step: string, title: string): (error: KhwError) => StepDifference {
  return (error) => ({ track: error.node ?? "cluster", step: error.step ?? step, title, error });
}

/** Whether the preflight's finding repeats an error in the node's plan. */
function isSame(finding: KhwError, track: string, error: KhwError | undefined): boolean {
  return finding.node === track && finding.message === error?.message;
}

function releaseChange(config: ClusterConfig, prepared: Prepared, { findings, skipped }: PlanChecks): string[] {
  const { running, releases, releaseNote, lastUpgrade } = prepared;
  const course = configuredCourse(running.kubernetes, releases.kubernetes, lastUpgrade);
  const path = pathOptions(config, prepared);
  if (course === undefined || path.done.length === path.nodes.length) return [];
  const checked = findings.length === 0 && skipped.length === 0 && !isUnfinished(running.kubernetes);
  return [releaseNote, ...describePath(course, { ...path, checked })];
}

function planDocument({ differences, unreachable, warnings, skipped }: PlanResult): string {
  const rows = differences.map(({ error, ...rest }) => ({
    ...rest,
    ...(error === undefined ? {} : { error: toDetail(error) }),
  }));
  const details = { unreachable: unreachable.map(toDetail), warnings: warnings.map(toDetail) };
  return `${JSON.stringify({ differences: rows, ...details, skipped }, null, 2)}\n`;
}

function planText({ release, differences, unreachable, warnings, notes, skipped }: PlanResult): string {
  const lines = differences.map(({ track, ...difference }) => ({ place: track, text: describeDifference(difference) }));
  const isDone = differences.every(({ remedy }) => remedy !== undefined) && unreachable.length === 0;
  return [
    ...release,
    ...groupLines(lines),
    ...[...notes, ...describeWarnings(warnings)].map((text) => `warning: ${text}`),
    ...skipped,
    ...(isDone ? ["nothing to do"] : []),
  ]
    .map((line) => `${line}\n`)
    .join("");
}

function describeDifference({ step, drift = "", error, remedy }: Omit<StepDifference, "track">): string {
  if (error === undefined) return `${step}: ${remedy === undefined ? drift : leftToYou(drift, remedy)}`;
  return `${step}: ${error.message}${error.hint === undefined ? "" : ` (${error.hint})`}`;
}

function planMembership({ membership: { joining } }: Prepared): StepDifference[] {
  return joining.map((track) => ({
    track,
    step: "join",
    title: "the controller is in the cluster",
    drift: `${track} joins the cluster: first etcd as a learner, then its control plane, then the load balancer`,
  }));
}

function planCredentials({ made, reissued }: Prepared, { credentials: { folder } }: ClusterConfig): StepDifference[] {
  if (Object.keys(reissued).length > 0) {
    return Object.keys(reissued)
      .filter((name) => !name.endsWith("-key.pem"))
      .map((name) => ({
        track: "workstation",
        step: "credentials",
        title: `${name} names every controller`,
        drift: `${folder}/${name} would be reissued with the new controllers' addresses`,
      }));
  }
  const count = Object.keys(made).length;
  if (count === 0) return [];
  const title = `the folder ${folder} has the cluster's credentials`;
  return [
    {
      track: "workstation",
      step: "credentials",
      title,
      drift: `${folder} has no credentials: ${count} files would be created`,
    },
  ];
}

async function planNodes({ work }: Prepared, signal: AbortSignal): Promise<StepDifference[]> {
  const planned = await Promise.all(
    work.map(async ({ node, desired }) => {
      const track = node.address.name;
      try {
        return differing(track, await node.plan(withoutContent(desired), signal));
      } catch (thrown) {
        // The other nodes' plans are still shown.
        signal.throwIfAborted();
        const error = toKhwError(thrown).at({ node: track });
        return [{ track, step: "plan", title: "the node can report its plan", error }];
      }
    }),
  );
  return planned.flat();
}

function differing(track: string, { steps }: PlanResponse): StepDifference[] {
  return steps
    .filter(({ drift, error }) => drift !== undefined || error !== undefined)
    .map(({ id, title, drift, error, remedy }) => ({
      track,
      step: id,
      title,
      drift,
      remedy,
      error: error === undefined ? undefined : fromDetail(error).at({ node: track }),
    }));
}

async function planLoadBalancer({ cloud }: OpenCluster, signal: AbortSignal): Promise<StepDifference[]> {
  if (cloud === undefined) return [];
  const { loadBalancerSteps } = await import("../gce/load-balancer.ts");
  const planned = await planSteps(loadBalancerSteps(cloud.loadBalancer), cloud.compute, signal);
  return planned
    .filter(({ drift, error }) => drift !== null || error !== null)
    .map(({ step, drift, error }) => ({
      track: loadBalancerTrack,
      step: step.id,
      title: step.title,
      drift: drift?.summary,
      error: error === null ? undefined : error.at({ node: loadBalancerTrack }),
    }));
}
