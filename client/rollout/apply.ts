import { type KhwError, toKhwError } from "../../proto/errors.ts";
import { applySteps, type StepEvent } from "../../proto/step.ts";
import { waitFor } from "../../proto/wait-for.ts";
import type { AgentNode } from "../cluster/agent-client.ts";
import type { Cloud, OpenCluster } from "../cluster/open.ts";
import { isDrained, readServingStates, readStatesBeforeDrain, serves } from "../drain/serving-state.ts";
import { whileDrained } from "../drain/while-drained.ts";
import { loadBalancerTrack, note, type ProgressOptions } from "../progress/progress.ts";
import { applyToNode, type ApplyToNodeOptions } from "./apply-to-node.ts";
import type { NodeWork } from "../cluster/node-work.ts";
import { type NodeOutcome, oneByOne, type OneByOneOptions, reportEnd } from "./one-by-one.ts";
import type { RolloutPlan } from "./plan.ts";
import { isUnderWay } from "./running-operations.ts";

/** The result of applying a plan. */
export interface Applied {
  /** The nodes on which the work succeeded. */
  readonly done: readonly AgentNode[];
  readonly outcomes: readonly NodeOutcome[];
  /** The errors of nodes and of the load balancer. */
  readonly errors: readonly KhwError[];
  /** True if the load balancer matches the configuration, or if khw does not manage a load balancer. */
  readonly reachable: boolean;
}

/**
 * Applies the plan to the nodes and the load balancer at the same time. The work on the nodes and the work on the load
 * balancer do not wait for each other.
 */
export async function applyPlan(
  cluster: OpenCluster,
  plan: RolloutPlan,
  options: ProgressOptions & Pick<ApplyToNodesOptions, "noRollback" | "between">,
): Promise<Applied> {
  const { progress } = options;
  const { cloud } = cluster;
  const { work, unreachable, serving, restarting, left, updating } = plan;
  const tracks = [...work.map(({ node }) => node.address.name), ...unreachable.map(({ node = "?" }) => node)];
  progress.emit({ kind: "begin", tracks: cloud === undefined ? tracks : [...tracks, loadBalancerTrack] });
  for (const error of unreachable) progress.emit({ kind: "end", track: error.node ?? "?", changed: 0, error });
  const [outcomes, loadBalancer] = await Promise.all([
    applyToNodes(cluster, work, {
      ...options,
      serving,
      inTurn: new Set([...restarting, ...updating]),
      drain: restarting,
      left,
    }),
    cloud === undefined ? undefined : applyLoadBalancer(cloud, options),
  ]);
  await progress.settled();
  return {
    done: outcomes.filter(({ error }) => error === undefined).map(({ node }) => node),
    outcomes,
    errors: [...unreachable, ...outcomes.flatMap(({ error }) => error ?? []), ...(loadBalancer ?? [])],
    reachable: (loadBalancer ?? []).length === 0,
  };
}

/**
 * Applies the RBAC objects through the first successful node. One node is enough, because the objects belong to the
 * cluster. Returns a list with the error, if there is one.
 */
export async function applyRbac(
  { done: [first] }: Pick<Applied, "done">,
  { admin: { ca, certificate, key } }: Pick<RolloutPlan, "admin">,
  { progress, signal, limitAnonymous }: ProgressOptions & { readonly limitAnonymous: boolean },
): Promise<KhwError[]> {
  if (first === undefined) return [];
  try {
    const changed = await first.applyRbac({ ca, certificate, key, limitAnonymous }, signal);
    for (const name of changed) note(progress, `RBAC: ${name} applied`);
    return [];
  } catch (thrown) {
    return [toKhwError(thrown)];
  }
}

export interface ApplyToNodesOptions extends ProgressOptions, Pick<ApplyToNodeOptions, "noRollback"> {
  /** The nodes whose API servers are serving now. */
  readonly serving: ReadonlySet<AgentNode>;
  /** The nodes to work on one at a time, after all other nodes are done. */
  readonly inTurn: ReadonlySet<AgentNode>;
  /** The nodes in `inTurn` that must be drained first. */
  readonly drain: ReadonlySet<AgentNode>;
  /** The nodes that an earlier rolling update left drained. khw undrains these nodes after the work. */
  readonly left?: ReadonlySet<AgentNode>;
  /**
   * Returns the sentence to print if the user presses Ctrl-C and the command still waits for the current node. If
   * absent, Ctrl-C ends the wait, and the nodes continue.
   */
  readonly interrupted?: (name: string) => string;
  /** See OneByOneOptions. */
  readonly between?: OneByOneOptions<NodeWork>["between"];
}

/** A signal for work that Ctrl-C must not stop. Only the work's own deadline can stop this work. */
const never = new AbortController().signal;

/**
 * Applies the desired state to all nodes outside `inTurn` at once, then to the nodes in `inTurn`, one at a time. Nodes
 * that are not serving come before serving nodes: a serving node can be drained only if another node serves. Nodes that
 * are not drained come before the others, because they may already run a new release, and `between` then checks them
 * before the next node changes. If a node fails, work that is in progress on other nodes continues.
 */
export async function applyToNodes(
  cluster: Pick<OpenCluster, "config" | "cloud" | "members">,
  work: readonly NodeWork[],
  options: ApplyToNodesOptions,
): Promise<NodeOutcome[]> {
  const { serving, inTurn, drain, left = new Set(), interrupted } = options;
  const { timeouts } = cluster.config;
  const waiting = {
    ...options,
    signal: interrupted === undefined ? options.signal : never,
    timeoutMillis: timeouts.node,
  };
  const workOn = (item: NodeWork): Promise<NodeOutcome> => {
    const underWay = isUnderWay(item, cluster.members);
    return left.has(item.node) || (drain.has(item.node) && !underWay)
      ? applyDrained(item, cluster, { ...waiting, underWay })
      : applyToNode(item, waiting);
  };
  const atOnce = await Promise.all(
    work.filter(({ node }) => !inTurn.has(node)).map(async (item) => reportEnd(await workOn(item), options)),
  );
  const ready = atOnce.filter(({ error }) => error === undefined).map(({ node }) => node);
  if (drain.size > 0) await untilBackends(ready, cluster, options);
  const inOrder = work
    .filter(({ node }) => inTurn.has(node))
    .toSorted(
      (a, b) =>
        Number(serving.has(a.node)) - Number(serving.has(b.node)) ||
        Number(drain.has(a.node)) - Number(drain.has(b.node)),
    );
  const later = await oneByOne(inOrder, { ...options, earlier: atOnce, work: workOn });
  return [...atOnce, ...later];
}

/**
 * Waits until the load balancer uses the nodes that have just started to serve. Without this wait, the next node would
 * look like the only serving node, and would restart without a drain. If the load balancer does not use a node in time,
 * the verification reports the node later.
 */
async function untilBackends(
  nodes: readonly AgentNode[],
  { config: { timeouts }, cloud, members }: Pick<OpenCluster, "config" | "cloud" | "members">,
  { signal }: Pick<ProgressOptions, "signal">,
): Promise<void> {
  const names = new Set(nodes.map(({ address }) => address.name));
  if (cloud === undefined || names.size === 0) return;
  const deadlineMillis = timeouts.verify;
  await waitFor<boolean | void>({
    what: "the load balancer does not use the new nodes",
    check: async () => {
      const standings = await readServingStates({ cloud, members }, signal);
      const waiting = standings.filter((one) => names.has(one.name) && !isDrained(one) && !serves(one));
      return waiting.length === 0 ? { reached: true } : { seen: waiting.map(({ name }) => name).join(", ") };
    },
    deadlineMillis,
    intervalMillis: askMillis,
    signal,
  }).catch(() => {
    // The error can be ignored here, because the next drain reads the same states and reports the error.
  });
}

/** The load balancer sends no notifications, so its backends are polled at this interval. */
const askMillis = 500;

/** Applies the desired state to a node while the node is drained. Changes nothing on a node that cannot be drained. */
async function applyDrained(
  item: NodeWork,
  { config: { timeouts }, cloud, members }: Pick<OpenCluster, "config" | "cloud" | "members">,
  options: ApplyToNodeOptions & { readonly underWay: boolean },
): Promise<NodeOutcome> {
  const { progress, signal, underWay } = options;
  const { node } = item;
  const emit = (event: StepEvent): void => progress.emit({ kind: "step", track: node.address.name, event });
  let outcome: NodeOutcome = { node, changed: 0 };
  const work = async (): Promise<void> => {
    outcome = await applyToNode(item, options);
    if (outcome.error !== undefined) throw outcome.error;
  };
  try {
    const standings = await readStatesBeforeDrain({ cloud, members }, node.address.name, signal);
    await whileDrained(work, { node, standings, cloud, timeouts, signal, emit, underWay });
    return outcome;
  } catch (thrown) {
    return { ...outcome, error: toKhwError(thrown).at({ node: node.address.name }) };
  }
}

/** Creates the load balancer, or its missing parts. Returns a list with the error, if there is one. */
async function applyLoadBalancer(
  { compute, loadBalancer }: Cloud,
  { progress, signal }: ProgressOptions,
): Promise<KhwError[]> {
  const { loadBalancerSteps } = await import("../gce/load-balancer.ts");
  const steps = loadBalancerSteps(loadBalancer);
  progress.emit({ kind: "steps", track: loadBalancerTrack, total: steps.length });
  const results = await applySteps(steps, compute, {
    signal,
    emit: (event) => progress.emit({ kind: "loadBalancer", event }),
  });
  const changed = results.filter(({ outcome }) => outcome === "changed").length;
  const failed = results.find((result) => result.outcome === "failed");
  const error = failed?.error.at({ node: loadBalancerTrack });
  progress.emit({ kind: "end", track: loadBalancerTrack, changed, error });
  return error === undefined ? [] : [error];
}
