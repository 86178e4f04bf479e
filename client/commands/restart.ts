import type { StepEvent } from "../../proto/step.ts";
import { selectNodes } from "../cluster/select-nodes.ts";
import { type Member, openCluster, type OpenCluster } from "../cluster/open.ts";
import type { ClusterConfig } from "../config/schema.ts";
import type { Context } from "../terminal/context.ts";
import { openProgress, type Output } from "../progress/open.ts";
import { phase } from "../progress/phase.ts";
import { note, type ProgressOptions } from "../progress/progress.ts";
import { drainedNote } from "../drain/drained.ts";
import { readServingStates, refusalToRestart } from "../drain/serving-state.ts";
import { whileDrained } from "../drain/while-drained.ts";
import { refuseFindings } from "../cluster/combine-errors.ts";
import { concludeNodes, type NodeOutcome, oneByOne } from "../rollout/one-by-one.ts";
import { finishingNote } from "../rollout/rolling-update.ts";

export interface RestartOptions {
  readonly output: Output;
  /** The node arguments. */
  readonly nodes: string;
  readonly component: string;
  /** Whether to restart even if no node would be left to serve traffic. */
  readonly force: boolean;
}

/** The components whose restart the load balancer's clients would notice. */
const drainedFirst: ReadonlySet<string> = new Set(["kube-apiserver", "nginx"]);

/** Ctrl-C does not stop work that has started; only the work's own deadline does. */
const never = new AbortController().signal;

/** See restartNodes. */
export async function restart(config: ClusterConfig, context: Context, options: RestartOptions): Promise<number> {
  await using cluster = await openCluster(config, context.signal);
  return await restartNodes(cluster, context, options);
}

/**
 * Restarts a component, one node at a time, until the first failure. A node is drained if the load balancer's clients
 * would notice the restart. After Ctrl-C, finishes the current node and then stops. Returns exit code 0 or 130, or
 * throws an error.
 * @throws KhwError WOULD_INTERRUPT, before anything changes, if no node would be left to serve traffic
 */
export async function restartNodes(cluster: OpenCluster, context: Context, options: RestartOptions): Promise<number> {
  const { component, force } = options;
  const chosen = selectNodes(cluster.members, [options.nodes]);
  for (const { error } of chosen) if (error !== undefined) throw error;
  const standings = await readServingStates(cluster, context.signal);
  if (!force)
    refuseFindings(chosen.flatMap(({ node }) => refusalToRestart(standings, node.address.name, component) ?? []));

  const progress = await openProgress(options.output, context);
  progress.emit({ kind: "begin", tracks: chosen.map(({ node }) => node.address.name) });
  const outcomes = await oneByOne(chosen, {
    progress,
    signal: context.signal,
    interrupted: finishingNote,
    work: (member) => restartOne(member, { cluster, signal: context.signal, progress, component, force }),
  });
  await progress.settled();
  // After Ctrl-C, each node's row shows how far the restart got.
  return concludeNodes(outcomes, { headline: "the restart did not finish on every node" }) ? 0 : 130;
}

interface RestartOneOptions extends ProgressOptions {
  readonly cluster: OpenCluster;
  readonly component: string;
  readonly force: boolean;
}

async function restartOne(
  { node }: Member,
  { cluster, signal, progress, component, force }: RestartOneOptions,
): Promise<NodeOutcome> {
  const { name } = node.address;
  const emit = (event: StepEvent): void => progress.emit({ kind: "step", track: name, event });
  const standings = await readServingStates(cluster, signal);
  const refusal = force ? undefined : refusalToRestart(standings, name, component);
  if (refusal !== undefined) throw refusal;
  const work = (): Promise<void> =>
    phase({ id: `restart/${component}`, summary: "is restarted" }, emit, async () => {
      await node.restart({ component, reason: "khw-client restart" }, never);
    });
  const { cloud, config } = cluster;
  const rotation = { node, standings, cloud, timeouts: config.timeouts, signal, emit };
  await (drainedFirst.has(component) ? whileDrained(work, rotation) : work());
  const own = standings.find((standing) => standing.name === name);
  const maintenance = own?.status?.maintenance;
  if (maintenance?.drained === true) note(progress, drainedNote(name, maintenance));
  return { node, changed: 1 };
}
