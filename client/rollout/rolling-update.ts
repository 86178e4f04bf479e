import { KhwError } from "../../proto/errors.ts";
import { fetchInfo, type OpenCluster } from "../cluster/open.ts";
import { refuseFindings } from "../cluster/combine-errors.ts";
import type { Context } from "../terminal/context.ts";
import { note, type Progress, type ProgressOptions } from "../progress/progress.ts";
import { changedReleaseObstacles } from "../release/unchanged.ts";
import { verifyCluster } from "../verify/verification.ts";
import { applyToNodes, type ApplyToNodesOptions } from "./apply.ts";
import { downloadPrograms } from "./download.ts";
import { concludeNodes, type NodeOutcome } from "./one-by-one.ts";
import { planRollout, type Prepared, type RolloutPlan } from "./plan.ts";
import { tryPrograms } from "./trial.ts";

export interface RollOptions {
  readonly context: Pick<Context, "signal">;
  readonly progress: Progress;
  /** Whether to leave a failed node as it is, for inspection. */
  readonly noRollback: boolean;
}

/**
 * Applies khw.yaml and the credentials to every node, then verifies the cluster. The serving nodes are updated one at a
 * time, and a node is drained first if its API server would restart. The update stops at the first failure. After
 * Ctrl-C, the update finishes the current node and then stops.
 * @throws KhwError UNREACHABLE or the first refusal, before any node is changed; PARTIAL; VERIFY_FAILED; CANCELLED
 * after Ctrl-C
 */
export async function roll(
  opened: OpenCluster,
  { context: { signal }, progress, noRollback }: RollOptions,
): Promise<Prepared> {
  const options = { progress, signal };
  // The nodes may have changed since the cluster was opened.
  const members = await fetchInfo(
    opened.members.map(({ node }) => ({ node })),
    signal,
  );
  signal.throwIfAborted();
  const cluster = { ...opened, members };
  const plan = await planRollout(cluster, {
    ...options,
    mayCreateAddress: false,
    newCredentials: "refuse",
    unreachable: "refuse",
    find: async (prepared) => changedReleaseObstacles(cluster.config, prepared),
  });
  await downloadPrograms(cluster, plan, options);
  signal.throwIfAborted();
  await tryPrograms(plan.work, options);
  concludeRoll(await rollNodes(cluster, plan, { ...options, noRollback }));
  const waitMillis = cluster.config.timeouts.verify;
  const target = { ...plan, nodes: plan.work.map(({ node }) => node) };
  const failed = await verifyCluster(cluster, target, { ...options, waitMillis, show: "failed" });
  signal.throwIfAborted();
  refuseFindings(failed, "every node is done, but the cluster is not working correctly");
  return plan;
}

/**
 * First updates all nodes that are not serving, at the same time. Then updates the serving nodes, one at a time, until
 * the first failure. Updates all nodes one at a time if this run starts a change of the Kubernetes release. A node is drained if its API
 * server would restart.
 */
export async function rollNodes(
  cluster: Pick<OpenCluster, "config" | "cloud" | "members">,
  {
    work,
    serving,
    restarting,
    updating,
    left,
  }: Pick<RolloutPlan, "work" | "serving" | "restarting" | "updating" | "left">,
  {
    progress,
    signal,
    between,
    noRollback = false,
  }: ProgressOptions & Pick<ApplyToNodesOptions, "between" | "noRollback">,
): Promise<NodeOutcome[]> {
  if (work.length === 1 && restarting.size === 1) note(progress, aloneNote);
  progress.emit({ kind: "begin", tracks: work.map(({ node }) => node.address.name) });
  const outcomes = await applyToNodes(cluster, work, {
    progress,
    signal,
    // Nodes that are not serving may need each other, so they are updated together. A change that breaks them does not
    // reach the other nodes.
    serving,
    inTurn: new Set([...serving, ...restarting, ...updating]),
    drain: restarting,
    left,
    noRollback,
    interrupted: finishingNote,
    between,
  });
  await progress.settled();
  return outcomes;
}

const aloneNote =
  "there is no other API server: the API will be unavailable for a few seconds while this API server restarts";

/** Returns the sentence to print if the user presses Ctrl-C while a node is drained. */
export function finishingNote(name: string): string {
  return `the command finishes and undrains ${name} first; after a second Ctrl-C, run \`khw-client undrain ${name}\` yourself`;
}

function concludeRoll(outcomes: readonly NodeOutcome[]): void {
  const done = concludeNodes(outcomes, {
    headline: "not every node is finished",
    hint: "correct this, then run the command again; it continues from here",
  });
  if (done) return;
  throw new KhwError("CANCELLED", "stopped between two nodes", {
    hint: "run the command again; it continues from here",
  });
}
