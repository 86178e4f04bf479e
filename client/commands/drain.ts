import { type KhwError, toKhwError } from "../../proto/errors.ts";
import { DrainReason } from "../../proto/gen/khw/agent/v1/agent.ts";
import type { StepEvent } from "../../proto/step.ts";
import { selectNodes } from "../cluster/select-nodes.ts";
import { type Member, openCluster, type OpenCluster } from "../cluster/open.ts";
import type { ClusterConfig } from "../config/schema.ts";
import type { Context } from "../terminal/context.ts";
import { openProgress, type Output } from "../progress/open.ts";
import type { Progress } from "../progress/progress.ts";
import { enter, leave, type DrainNodeOptions } from "../drain/drain.ts";
import { readServingStates, refusalToLeave } from "../drain/serving-state.ts";
import { refuseFindings } from "../cluster/combine-errors.ts";

export interface DrainOptions {
  readonly output: Output;
  /** The node arguments. */
  readonly nodes: readonly string[];
  /** Whether to drain even if no other node would be left to serve traffic. */
  readonly force: boolean;
}

/** See drainNodes. */
export async function drain(config: ClusterConfig, context: Context, options: DrainOptions): Promise<number> {
  await using cluster = await openCluster(config, context.signal);
  return await drainNodes(cluster, context, options);
}

/** See undrainNodes. */
export async function undrain(
  config: ClusterConfig,
  context: Context,
  options: Omit<DrainOptions, "force">,
): Promise<number> {
  await using cluster = await openCluster(config, context.signal);
  return await undrainNodes(cluster, context, options);
}

/**
 * Drains nodes, and waits until the load balancer's health check sees them as unhealthy. Returns exit code 0, or throws
 * an error.
 * @throws KhwError WOULD_INTERRUPT, before anything changes, if no other node would be left to serve traffic
 */
export async function drainNodes(cluster: OpenCluster, context: Context, options: DrainOptions): Promise<number> {
  const chosen = selectNodes(cluster.members, options.nodes);
  const standings = await readServingStates(cluster, context.signal);
  const refusal = refusalToLeave(standings, new Set(chosen.map(({ node }) => node.address.name)));
  if (refusal !== undefined && !options.force) throw refusal;
  return turn(chosen, { ...cluster, context, output: options.output, drained: true });
}

/**
 * Undrains nodes, and waits until the load balancer's health check sees them as healthy. Returns exit code 0, or throws
 * an error.
 */
export async function undrainNodes(
  cluster: OpenCluster,
  context: Context,
  { nodes, output }: Omit<DrainOptions, "force">,
): Promise<number> {
  return turn(selectNodes(cluster.members, nodes), { ...cluster, context, output, drained: false });
}

interface DrainTurnOptions extends Pick<DrainNodeOptions, "cloud"> {
  readonly config: ClusterConfig;
  readonly context: Context;
  readonly output: Output;
  readonly drained: boolean;
}

/** Works on all nodes at once. A node's failure does not affect the others. */
async function turn(
  chosen: readonly Member[],
  { config, cloud, context, output, drained }: DrainTurnOptions,
): Promise<number> {
  const { signal } = context;
  const progress = await openProgress(output, context);
  progress.emit({ kind: "begin", tracks: chosen.map(({ node }) => node.address.name) });
  const errors = await Promise.all(
    chosen.map(async ({ node, error }) => {
      const emit = (event: StepEvent): void => progress.emit({ kind: "step", track: node.address.name, event });
      try {
        if (error !== undefined) throw error;
        await (drained ? leave : enter)(node, {
          cloud,
          timeouts: config.timeouts,
          signal,
          emit,
          reason: DrainReason.DRAIN_REASON_PERSON,
        });
        return end(progress, node.address.name);
      } catch (thrown) {
        return end(progress, node.address.name, toKhwError(thrown).at({ node: node.address.name }));
      }
    }),
  );
  await progress.settled();
  if (cloud === undefined) progress.emit({ kind: "note", text: nobodyAsked(drained) });
  refuseFindings(
    errors.flatMap((error) => error ?? []),
    "not every node is finished",
  );
  return 0;
}

function end(progress: Progress, track: string, error?: KhwError): KhwError | undefined {
  progress.emit({ kind: "end", track, changed: error === undefined ? 1 : 0, error });
  return error;
}

function nobodyAsked(drained: boolean): string {
  const answer = drained ? "with 503" : "with the API server's status";
  return `the nodes answer the health check ${answer}; khw does not manage a load balancer here, so no load balancer was checked`;
}
