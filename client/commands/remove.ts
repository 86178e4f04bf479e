import { isIPv4 } from "node:net";
import { dirname } from "node:path";
import type { Controller } from "../../proto/desired.ts";
import { KhwError } from "../../proto/errors.ts";
import type { StepEvent } from "../../proto/step.ts";
import { refuseFindings } from "../cluster/combine-errors.ts";
import { controllersOf } from "../cluster/open.ts";
import { isManaged } from "../config/desired.ts";
import type { ClusterConfig } from "../config/schema.ts";
import { readServingStates, refusalToLeave } from "../drain/serving-state.ts";
import { readEtcd } from "../etcd/overview.ts";
import { revokeAgents } from "../pki/management/revoke.ts";
import { openProgress, type Output } from "../progress/open.ts";
import { phase } from "../progress/phase.ts";
import { finalNote, note, type ProgressOptions } from "../progress/progress.ts";
import { checkRemaining, controllerAt, type Remaining } from "../remove/membership.ts";
import { openParting, type Parting } from "../remove/open.ts";
import { leavePool } from "../remove/pool.ts";
import { readAuthority } from "../reset/authority.ts";
import { checkReset, drainFirst, resetNode } from "../reset/reset-node.ts";
import { concludeNodes } from "../rollout/one-by-one.ts";
import { evenWarning } from "../rollout/membership.ts";
import { changedReleaseObstacles } from "../release/unchanged.ts";
import { planRollout, type RolloutPlan } from "../rollout/plan.ts";
import { rollNodes } from "../rollout/rolling-update.ts";
import { downloadPrograms } from "../rollout/download.ts";
import type { Context } from "../terminal/context.ts";
import { verifyCluster } from "../verify/verification.ts";

export interface RemoveOptions {
  readonly output: Output;
  /** The node argument. */
  readonly node: string;
  /** Whether the machine will not return. If so, khw does not contact it. */
  readonly dead: boolean;
  readonly purge: boolean;
  readonly uninstall: boolean;
}

/** Removes a controller from its cluster. See removeController. */
export async function remove(config: ClusterConfig, context: Context, options: RemoveOptions): Promise<number> {
  const { signal } = context;
  const progress = await openProgress(options.output, context);
  await using parting = await openParting(config, { node: options.node, dead: options.dead, signal });
  if (!(await removeController(parting, { progress, signal }, options))) return 130;
  const { name } = parting;
  finalNote(progress, `${name} is removed; take ${name} out of \`nodes\` in khw.yaml and out of --nodes`);
  return 0;
}

export interface RemoveControllerOptions extends Pick<RemoveOptions, "dead" | "purge" | "uninstall"> {
  /** A new controller that joins after the removal, but already has an etcd learner. */
  readonly learner?: Controller | undefined;
}

/**
 * Checks that etcd keeps its quorum without the controller. Then drains the controller, takes it out of the target pool
 * and out of the other API servers' lists of etcd servers, removes its etcd member, and resets its machine. Each part
 * is skipped if an earlier run has already done it. Returns false if Ctrl-C stopped the work between two nodes.
 * @throws KhwError WOULD_INTERRUPT, before anything changes, if etcd or the API would not survive the removal
 */
export async function removeController(
  parting: Parting,
  { progress, signal }: ProgressOptions,
  { dead, purge, uninstall, learner }: RemoveControllerOptions,
): Promise<boolean> {
  const { name, rest, leaving } = parting;
  const options = { progress, signal };
  const emit = (event: StepEvent): void => progress.emit({ kind: "step", track: name, event });
  if (!dead && leaving?.error !== undefined) {
    throw new KhwError(leaving.error.code, leaving.error.message, {
      node: name,
      hint: `start the machine and its khw-agent; if the machine will not return, run \`khw-client remove ${name} --dead\``,
    });
  }
  refuseFindings(rest.members.flatMap(({ error }) => error ?? []));
  const remaining = await readRemaining(parting, learner, signal);
  const leavingReset = { cluster: parting.all, caPem: await readAuthority(rest.config) };
  if (leaving !== undefined) {
    await refuseLastServing(parting, signal);
    // The quorum is already checked above. The agent would also count its own machine's member.
    await checkReset(leaving.node, { ...leavingReset, wholeCluster: true, signal });
  }
  const plan = await planRollout(rest, {
    ...options,
    mayCreateAddress: false,
    newCredentials: "refuse",
    unreachable: "refuse",
    find: async (prepared) => changedReleaseObstacles(rest.config, prepared),
    // No API server uses a learner, so the API servers' lists of etcd servers do not contain the learner's controller
    // yet.
    leaving: [controllerOf(parting, remaining), learner].flatMap((controller) => controller ?? []),
  });
  for (const text of remaining === undefined ? [] : evenWarning(remaining.voters)) note(progress, `warning: ${text}`);
  await downloadPrograms(rest, plan, options);
  signal.throwIfAborted();
  if (dead) await revoke(parting, options);

  progress.emit({ kind: "begin", tracks: [name] });
  if (leaving !== undefined) await drainFirst(leaving.node, { cluster: parting.all, signal, emit });
  if (rest.cloud !== undefined) {
    const { cloud } = rest;
    await phase({ id: "target-pool", summary: "is taken out of the target pool" }, emit, () =>
      leavePool(cloud, { name, signal }),
    );
  }
  if (!(await updateOthers(parting, plan, options))) return false;
  if (remaining !== undefined) await removeMember(parting, { remaining, emit, signal });
  let changed = 0;
  if (leaving !== undefined) {
    const reset = { ...options, ...leavingReset, purge, uninstall, wholeCluster: false };
    changed = (await resetNode(leaving.node, reset)).changed;
  }
  progress.emit({ kind: "end", track: name, changed, text: "removed" });
  await progress.settled();
  const target = { ...plan, nodes: plan.work.map(({ node }) => node) };
  const waitMillis = rest.config.timeouts.verify;
  refuseFindings(
    await verifyCluster(rest, target, { ...options, waitMillis, show: "failed" }),
    `${name} is removed, but the cluster is not working correctly`,
  );
  return true;
}

/** Returns undefined if khw does not manage etcd. */
async function readRemaining(
  { name, rest, leaving }: Parting,
  learner: Controller | undefined,
  signal: AbortSignal,
): Promise<Remaining | undefined> {
  if (!isManaged(rest.config)) return undefined;
  const nodes = await readEtcd(rest.members, signal);
  const internalIp = leaving?.info?.identity?.internalIp;
  return checkRemaining(nodes, { name, internalIp, controllers: controllersOf(rest), learner });
}

async function refuseLastServing({ name, all }: Parting, signal: AbortSignal): Promise<void> {
  const refusal = refusalToLeave(await readServingStates(all, signal), new Set([name]));
  if (refusal === undefined) return;
  throw new KhwError(refusal.code, refusal.message, { hint: "bring another node back into service first" });
}

/** Returns the controller's address from its etcd member, or else from its agent. */
function controllerOf({ name, leaving }: Parting, remaining: Remaining | undefined): Controller | undefined {
  const internalIp = leaving?.info?.identity?.internalIp;
  const reported = internalIp !== undefined && isIPv4(internalIp) ? { name, internalIp } : undefined;
  return controllerAt(name, remaining?.leaving) ?? reported;
}

async function revoke({ name, rest }: Parting, { progress }: ProgressOptions): Promise<void> {
  const folder = dirname(rest.config.management.ca);
  const revoked = await revokeAgents(folder, [name], { removed: true });
  if (revoked.length > 0) note(progress, `${name}: the certificate of its agent is revoked`);
}

/** Updates the controllers that stay, one at a time. Returns false if Ctrl-C stopped the update between two nodes. */
async function updateOthers({ rest }: Parting, plan: RolloutPlan, options: ProgressOptions): Promise<boolean> {
  return concludeNodes(await rollNodes(rest, plan, options), {
    headline: "not every other node is updated",
    hint: "correct this, then run the command again; it continues from here",
  });
}

interface RemoveMemberOptions {
  readonly remaining: Remaining;
  readonly emit: (event: StepEvent) => void;
  readonly signal: AbortSignal;
}

/** Removes the etcd member through the agent of another controller, which checks the quorum again. */
async function removeMember({ rest }: Parting, { remaining, emit, signal }: RemoveMemberOptions): Promise<void> {
  const [url] = remaining.leaving?.peerUrls ?? [];
  const [other] = rest.members;
  if (url === undefined || other === undefined) return;
  await phase({ id: "etcd/member", summary: "its etcd member is removed" }, emit, () =>
    other.node.removal.removeEtcdMember(new URL(url).hostname, signal),
  );
}
