import { KhwError, toKhwError } from "../../proto/errors.ts";
import { refuse } from "../../proto/validate.ts";
import { refuseFindings } from "../cluster/combine-errors.ts";
import { forEachNode, maxConcurrentNodes } from "../cluster/for-each-node.ts";
import { type Member, openCluster, type OpenCluster } from "../cluster/open.ts";
import { selectNodes } from "../cluster/select-nodes.ts";
import { isManaged } from "../config/desired.ts";
import type { ClusterConfig } from "../config/schema.ts";
import { readServingStates, refusalToLeave } from "../drain/serving-state.ts";
import { deleteLoadBalancer } from "../reset/load-balancer.ts";
import { openProgress, type Output } from "../progress/open.ts";
import { finalNote, note, type ProgressOptions } from "../progress/progress.ts";
import { readAuthority } from "../reset/authority.ts";
import { confirmByName } from "../reset/consent.ts";
import { checkReset, resetNode, type ResetNodeOptions } from "../reset/reset-node.ts";
import { saveSnapshot } from "../reset/save-snapshot.ts";
import { concludeNodes, type NodeOutcome, oneByOne, reportEnd } from "../rollout/one-by-one.ts";
import type { Context } from "../terminal/context.ts";

export interface ResetOptions {
  readonly output: Output;
  /** The node arguments; empty with `all`. */
  readonly nodes: readonly string[];
  /** Whether to reset every node and to delete the load balancer. */
  readonly all: boolean;
  /** The cluster's name, as confirmation; empty if the user must type the name. */
  readonly yes: string;
  readonly purge: boolean;
  readonly uninstall: boolean;
  /** Whether `all` may proceed without a snapshot. */
  readonly withoutSnapshot: boolean;
}

/** See resetNodes and resetAll. */
export async function reset(config: ClusterConfig, context: Context, options: ResetOptions): Promise<number> {
  if (options.all && options.nodes.length > 0) refuse("--all", "cannot be used together with node names");
  if (!options.all && options.nodes.length === 0)
    refuse("reset", "no node given", "specify nodes, for example `khw-client reset controller-2`, or --all");
  if (!options.all && (options.yes !== "" || options.withoutSnapshot))
    refuse(options.yes === "" ? "--without-snapshot" : "--yes", "is used only with --all");
  await using cluster = await openCluster(config, context.signal);
  return await (options.all ? resetAll : resetNodes)(cluster, context, options);
}

/**
 * Resets nodes, one at a time, until the first failure. Returns exit code 0 or 130, or throws an error.
 * @throws KhwError WOULD_INTERRUPT, before anything changes, if no other node would be left to serve traffic
 */
export async function resetNodes(cluster: OpenCluster, context: Context, options: ResetOptions): Promise<number> {
  const { signal } = context;
  const chosen = selectNodes(cluster.members, options.nodes);
  for (const { error } of chosen) if (error !== undefined) throw error;
  const standings = await readServingStates(cluster, signal);
  const refusal = refusalToLeave(standings, new Set(chosen.map(({ node }) => node.address.name)));
  if (refusal !== undefined) {
    const hint =
      "bring another node back into service first; to remove the whole cluster, use `khw-client reset --all`";
    throw new KhwError(refusal.code, refusal.message, { hint });
  }
  const progress = await openProgress(options.output, context);
  const shared = await sharedOptions(cluster, { progress, signal }, options);
  progress.emit({ kind: "begin", tracks: chosen.map(({ node }) => node.address.name) });
  const outcomes = await oneByOne(chosen, {
    progress,
    signal,
    interrupted: (name) => `the command finishes the reset of ${name} first`,
    work: ({ node }) => resetNode(node, { ...shared, wholeCluster: false }),
  });
  await progress.settled();
  return concludeNodes(outcomes, { headline: "not every node is reset" }) ? 0 : 130;
}

/**
 * Checks that no agent refuses the reset. Then saves a snapshot on this workstation, deletes the load balancer, and
 * resets all nodes at once. Returns exit code 0, or throws an error. After an interruption, the same command continues the work.
 */
export async function resetAll(cluster: OpenCluster, context: Context, options: ResetOptions): Promise<number> {
  const { signal } = context;
  const { config, members } = cluster;
  refuseFindings(
    members.flatMap(({ error }) => error ?? []),
    "nothing was changed, because every agent must answer (leave out nodes whose agent an earlier run has removed)",
  );
  await confirmByName(config.cluster.name, context, options.yes);
  const progress = await openProgress(options.output, context);
  const shared = await sharedOptions(cluster, { progress, signal }, options);
  await checkAll(members, { ...shared, wholeCluster: true });
  if (!options.withoutSnapshot) await keepSnapshot(cluster, { progress, signal });
  await deleteLoadBalancer(cluster, { progress, signal });
  progress.emit({ kind: "begin", tracks: members.map(({ node }) => node.address.name) });
  const outcomes = await Promise.all(
    members.map(async (member) => reportEnd(await attempt(member, { ...shared, wholeCluster: true }), { progress })),
  );
  await progress.settled();
  concludeNodes(outcomes, {
    headline: "not every node is reset",
    hint: "correct this, then run the command again; it continues from here",
  });
  finalNote(progress, `the cluster ${config.cluster.name} is removed`);
  return 0;
}

/**
 * Asks every agent whether it would refuse the reset.
 * @throws the agents' refusals
 */
async function checkAll(members: readonly Member[], options: ResetNodeOptions): Promise<void> {
  const { signal } = options;
  const clusterIps = members.flatMap(({ info }) => info?.identity?.internalIp ?? []);
  const answers = await forEachNode(members, maxConcurrentNodes, (node) =>
    checkReset(node, { ...options, clusterIps }),
  );
  signal.throwIfAborted();
  refuseFindings(
    answers.flatMap(({ name, error }) => error?.at({ node: name }) ?? []),
    "nothing was changed, because the whole cluster cannot be reset",
  );
}

async function attempt({ node }: Member, options: ResetNodeOptions): Promise<NodeOutcome> {
  try {
    return await resetNode(node, options);
  } catch (thrown) {
    return { node, changed: 0, error: toKhwError(thrown).at({ node: node.address.name }) };
  }
}

async function sharedOptions(
  cluster: OpenCluster,
  options: ProgressOptions,
  { purge, uninstall }: ResetOptions,
): Promise<Omit<ResetNodeOptions, "wholeCluster">> {
  return { ...options, cluster, caPem: await readAuthority(cluster.config), purge, uninstall };
}

async function keepSnapshot({ config, members }: OpenCluster, { progress, signal }: ProgressOptions): Promise<void> {
  if (!isManaged(config)) return note(progress, "etcd is not managed by khw, so it keeps running with its data");
  const saved = await saveSnapshot(members, { folder: ".", signal });
  if (saved === undefined) return note(progress, "no snapshot was saved, because no node has had an etcd member");
  const { id, revision } = saved.snapshot;
  note(progress, `saved the snapshot ${id} (revision ${revision}) in ${saved.path}; keep this file safe`);
}
