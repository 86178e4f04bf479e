import { dirname } from "node:path";
import { refuseFindings } from "../cluster/combine-errors.ts";
import { controllersOf, openCluster } from "../cluster/open.ts";
import type { ClusterConfig } from "../config/schema.ts";
import { enrolWaitingAgents } from "../enrolment/enrol-waiting-agents.ts";
import { readEtcd } from "../etcd/overview.ts";
import { readRegister } from "../pki/management/register.ts";
import { openProgress, type Output } from "../progress/open.ts";
import { finalNote, note, type ProgressOptions } from "../progress/progress.ts";
import { checkRemaining, controllerAt } from "../remove/membership.ts";
import { openParting } from "../remove/open.ts";
import { nextPartDead, presentNodes, type Present } from "../replace/next-part.ts";
import { type Pair, pairNodes } from "../replace/pair.ts";
import { readLive } from "../replace/read-live.ts";
import { changedReleaseObstacles } from "../release/unchanged.ts";
import { planRollout } from "../rollout/plan.ts";
import type { Context } from "../terminal/context.ts";
import { bootstrapNodes } from "./bootstrap-nodes.ts";
import { removeController, type RemoveControllerOptions, type RemoveOptions } from "./remove.ts";

export interface ReplaceOptions extends Pick<RemoveOptions, "node" | "dead" | "purge" | "uninstall"> {
  readonly output: Output;
  /** The value of --with. */
  readonly successor: string;
}

/**
 * Replaces a controller with another machine that has another name. Adds the new controller, then removes the old
 * controller. If the old machine is dead, removes it first. The two parts work as in `bootstrap` and `remove`. After an
 * interruption, the same call continues the work. Returns exit code 0 or 130, or throws an error.
 */
export async function replace(config: ClusterConfig, context: Context, options: ReplaceOptions): Promise<number> {
  const pair = pairNodes(config, options);
  const progress = await openProgress(options.output, context);
  const run = { progress, signal: context.signal };
  const isDone = await (options.dead ? replaceDead : replaceLive)(config, pair, { ...run, ...options });
  if (!isDone) return 130;
  const list = pair.after.map(({ name }) => name).join(", ");
  finalNote(
    progress,
    `${pair.old} is replaced by ${pair.successor}; in khw.yaml and --nodes, list these controllers: ${list}`,
  );
  return 0;
}

type Run = ProgressOptions & ReplaceOptions;

async function replaceLive(config: ClusterConfig, pair: Pair, run: Run): Promise<boolean> {
  const both = { ...config, nodes: pair.both };
  const part = await readPart(both, pair, run);
  note(run.progress, `${pair.successor} is added first; then ${pair.old} is removed, and its machine is reset`);
  if (part === "add" && !(await add(both, run))) return false;
  return await removeOld(both, pair, run);
}

async function replaceDead(config: ClusterConfig, pair: Pair, run: Run): Promise<boolean> {
  const after = { ...config, nodes: pair.after };
  const { part, nodes, learner } = await readDead(after, pair, run);
  note(run.progress, `${pair.old} is removed first, because its machine is dead; then ${pair.successor} is added`);
  if (part === "remove" && !(await removeOld({ ...config, nodes }, pair, { ...run, learner }))) return false;
  return await add(after, run);
}

async function readPart(both: ClusterConfig, pair: Pair, { signal }: Run): Promise<"add" | "remove"> {
  await using cluster = await openCluster(both, signal);
  return await readLive(cluster, pair, signal);
}

/** Returns false if Ctrl-C stopped the work. */
async function add(config: ClusterConfig, { progress, signal }: ProgressOptions): Promise<boolean> {
  const consent = { allowDowngrade: false, allowRemovedApis: false, noRollback: false };
  // A conflict over an object must not stop a replacement halfway, so the folder of manifests is left to the next
  // bootstrap.
  const nodesOnly = { ...config, manifests: undefined };
  const manifests = { forceConflicts: false, allowPrune: [] };
  const address = await bootstrapNodes(
    nodesOnly,
    { progress, signal },
    { ...consent, ...manifests, joining: "replace" },
  );
  return address !== undefined;
}

/** Returns false if Ctrl-C stopped the work. */
async function removeOld(config: ClusterConfig, { old }: Pair, run: Run & RemoveControllerOptions): Promise<boolean> {
  const { dead, signal } = run;
  await using parting = await openParting(config, { node: old, dead, signal });
  return await removeController(parting, run, run);
}

/**
 * Determines how far the replacement of a dead controller has progressed. Before the old member is removed, checks that
 * the successor can join.
 */
async function readDead(
  config: ClusterConfig,
  pair: Pair,
  run: Run,
): Promise<Present & { readonly part: "add" | "remove" }> {
  const { signal } = run;
  await using opened = await openCluster(config, signal);
  const cluster = await enrolWaitingAgents(opened, run);
  refuseFindings(cluster.members.flatMap(({ error }) => error ?? []));
  const { removedNames } = await readRegister(dirname(config.management.ca));
  const nodes = await readEtcd(cluster.members, signal);
  const controllers = controllersOf(cluster);
  const { leaving, staying } = checkRemaining(nodes, { name: pair.old, controllers });
  const isKnown = pair.isListed || removedNames.has(pair.old);
  const part = nextPartDead(pair, { oldIsMember: leaving !== undefined, isKnown });
  const successor = controllers.find(({ name }) => name === pair.successor);
  const present = { part, ...presentNodes(pair, successor, staying) };
  if (part === "add") return present;
  await planRollout(cluster, {
    ...run,
    mayCreateAddress: false,
    newCredentials: "imagine",
    unreachable: "refuse",
    joining: "replace",
    find: async (prepared) => changedReleaseObstacles(config, prepared),
    leaving: [controllerAt(pair.old, leaving)].flatMap((controller) => controller ?? []),
  });
  return present;
}
