import type { StepEvent } from "../../proto/step.ts";
import { chooseMembers } from "../cluster/select-nodes.ts";
import { type Member, openCluster, type OpenCluster } from "../cluster/open.ts";
import type { ClusterConfig } from "../config/schema.ts";
import type { Context } from "../terminal/context.ts";
import { openProgress, type Output } from "../progress/open.ts";
import { phase } from "../progress/phase.ts";
import { note, type ProgressOptions } from "../progress/progress.ts";
import { drainedNote, isDrained, readStandings, refusalToRestart } from "../drain/serving-state.ts";
import { whileDrained } from "../drain/while-drained.ts";
import { conclude, refuseFindings } from "../cluster/combine-errors.ts";
import { type NodeOutcome, oneByOne } from "../rollout/one-by-one.ts";
import { finishingNote } from "../rollout/rolling-update.ts";

export interface RestartOptions {
  readonly output: Output;
  /** As the arguments name them. */
  readonly nodes: string;
  readonly component: string;
  /** Even when nobody would serve meanwhile. */
  readonly force: boolean;
}

/** What the load balancer's clients notice when it restarts. */
const drainedFirst: ReadonlySet<string> = new Set(["kube-apiserver", "nginx"]);

/** What was begun is ended by its own deadline, not by Ctrl-C. */
const never = new AbortController().signal;

/** As restartNodes has it. */
export async function restart(config: ClusterConfig, context: Context, options: RestartOptions): Promise<number> {
  await using cluster = await openCluster(config, context.signal);
  return await restartNodes(cluster, context, options);
}

/**
 * Restarts a component on the nodes, one after the other, for as long as nothing failed; out of the load balancer's rotation
 * where its clients would notice. Ctrl-C finishes the node in hand and stops there. Exit code 0, 130, or an error.
 * @throws KhwError PREFLIGHT_FAILED, with nothing touched, when nobody would serve meanwhile
 */
export async function restartNodes(cluster: OpenCluster, context: Context, options: RestartOptions): Promise<number> {
  const { component, force } = options;
  const chosen = chooseMembers(cluster.members, [options.nodes]);
  for (const { error } of chosen) if (error !== undefined) throw error;
  const standings = await readStandings(cluster, context.signal);
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
  const errors = outcomes.flatMap(({ error }) => error ?? []);
  // Ctrl-C is no error: each node's row says how far it came.
  if (errors.length > 0 && errors.every(({ code }) => code === "CANCELLED")) return 130;
  conclude(errors, { done: outcomes.length - errors.length, headline: "not every node is done" });
  return 0;
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
  const standings = await readStandings(cluster, signal);
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
  if (own !== undefined && isDrained(own)) note(progress, drainedNote(name));
  return { node, changed: 1 };
}
