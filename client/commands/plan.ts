import { fromDetail, type KhwError, toDetail, toKhwError } from "../../proto/errors.ts";
import type { PlanResponse } from "../../proto/gen/khw/agent/v1/agent.ts";
import { planSteps } from "../../proto/step.ts";
import { openCluster, type OpenCluster } from "../cluster/open.ts";
import { withoutContent } from "../config/desired.ts";
import type { ClusterConfig } from "../config/schema.ts";
import type { Context } from "../terminal/context.ts";
import { pinPrograms } from "../lock/lock.ts";
import { groupLines } from "../terminal/group-lines.ts";
import { prepare, type Prepared } from "../rollout/plan.ts";
import type { Output } from "../progress/open.ts";
import { leftToYou } from "../progress/step-text.ts";
import { loadBalancerTrack } from "../progress/progress.ts";

export interface PlanOptions {
  readonly output: Output;
  /** See PrepareOptions. */
  readonly allowDowngrade: boolean;
}

/** A step that differs, or whose check failed. */
interface StepDifference {
  readonly track: string;
  readonly step: string;
  readonly title: string;
  readonly drift?: string | undefined;
  /** The action that a person must take; bootstrap leaves the difference. */
  readonly remedy?: string | undefined;
  readonly error?: KhwError | undefined;
}

const somethingToDo = 2;

/**
 * Prints the changes that bootstrap would make on each node and in the Compute API; changes nothing. Exit code 0:
 * no change; 2: changes.
 */
export async function plan(
  config: ClusterConfig,
  { signal, write }: Context,
  { output, allowDowngrade }: PlanOptions,
): Promise<number> {
  await using cluster = await openCluster(config, signal);
  const open = await prepare(cluster, {
    signal,
    mayCreateAddress: false,
    newCredentials: "imagine",
    allowDowngrade,
  });
  const prepared = { ...open, work: await pinPrograms(cluster, open.work) };
  const differences: StepDifference[] = [
    ...prepared.releaseObstacles.map((error) => ({
      track: "cluster",
      step: "release",
      title: "the release can change",
      error,
    })),
    ...planCredentials(prepared, config),
    ...(await Promise.all([planNodes(prepared, signal), planLoadBalancer(cluster, signal)])).flat(),
  ];
  const todo = differences.filter(({ remedy }) => remedy === undefined);
  if (output === "json") {
    const rows = differences.map(({ error, ...rest }) => ({
      ...rest,
      ...(error === undefined ? {} : { error: toDetail(error) }),
    }));
    write(`${JSON.stringify({ differences: rows, unreachable: prepared.unreachable.map(toDetail) }, null, 2)}\n`);
  } else {
    const lines = differences.map(({ track, ...difference }) => ({
      place: track,
      text: describeDifference(difference),
    }));
    for (const line of groupLines(lines)) write(`${line}\n`);
    if (todo.length === 0 && prepared.unreachable.length === 0) write("nothing to do\n");
  }
  const [failed] = [...prepared.unreachable, ...differences.flatMap(({ error }) => error ?? [])];
  if (failed !== undefined) throw failed;
  return todo.length === 0 ? 0 : somethingToDo;
}

function describeDifference({ step, drift = "", error, remedy }: Omit<StepDifference, "track">): string {
  return `${step}: ${error?.message ?? (remedy === undefined ? drift : leftToYou(drift, remedy))}`;
}

function planCredentials({ made }: Prepared, { credentials: { folder } }: ClusterConfig): StepDifference[] {
  const count = Object.keys(made).length;
  if (count === 0) return [];
  const title = `the folder ${folder} has the cluster's credentials`;
  return [
    {
      track: "workstation",
      step: "credentials",
      title,
      drift: `${folder} has no credentials: ${count} files would be made`,
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
        // The plans of the other nodes are still shown.
        signal.throwIfAborted();
        const error = toKhwError(thrown).at({ node: track });
        return [{ track, step: "plan", title: "the node's plan can be read", error }];
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
