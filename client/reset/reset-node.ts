import { KhwError, toKhwError } from "../../proto/errors.ts";
import { DrainReason } from "../../proto/gen/khw/agent/v1/agent.ts";
import type { ResetRequest } from "../../proto/gen/khw/agent/v1/removal.ts";
import type { StepEvent } from "../../proto/step.ts";
import { type Look, waitFor } from "../../proto/wait-for.ts";
import type { AgentNode } from "../cluster/agent-client.ts";
import type { OpenCluster } from "../cluster/open.ts";
import { leave } from "../drain/drain.ts";
import { readServingStates, serves } from "../drain/serving-state.ts";
import { phase } from "../progress/phase.ts";
import { note, type ProgressOptions } from "../progress/progress.ts";
import type { NodeOutcome } from "../rollout/one-by-one.ts";

export interface ResetNodeOptions extends ProgressOptions {
  readonly cluster: OpenCluster;
  /** The certificate of the cluster's CA; empty if this workstation does not have the certificate. */
  readonly caPem: string;
  /** Whether to also remove logs and snapshots. */
  readonly purge: boolean;
  /** Whether to remove the agent's package at the end. */
  readonly uninstall: boolean;
  /** Whether the whole cluster is removed. If so, the node is not drained first. */
  readonly wholeCluster: boolean;
}

/** A signal for work that Ctrl-C must not stop. Only the work's own deadline can stop this work. */
const never = new AbortController().signal;

/** The maximum time for an agent to restart after the reset. It is enough even on a busy machine. */
const restartMillis = 90_000;
/** The maximum time for apt to remove the agent's package. */
const uninstallMillis = 300_000;

/**
 * Drains a node, has its agent undo the bootstrap, and waits until the agent has restarted without a desired state.
 * After an interruption, the same call continues the work.
 */
export async function resetNode(node: AgentNode, options: ResetNodeOptions): Promise<NodeOutcome> {
  const { cluster, caPem, purge, uninstall, wholeCluster, progress, signal } = options;
  const { name } = node.address;
  const emit = (event: StepEvent): void => progress.emit({ kind: "step", track: name, event });
  if (!wholeCluster) {
    // The agent checks the request before the drain, so that a refused reset does not leave the node drained.
    await checkReset(node, { cluster, caPem, wholeCluster, signal });
    await drainFirst(node, { cluster, signal, emit });
  }
  const { changes, left } = await phase({ id: "reset", summary: "is being reset" }, emit, async (tell) => {
    const response = await node.removal.reset(requestOf(node, { cluster, caPem, wholeCluster, purge }), never);
    tell("waiting for the agent to restart");
    await restarted(node, cluster);
    return response;
  });
  for (const text of left) note(progress, `${name}: ${text}`);
  if (uninstall) {
    await phase({ id: "uninstall", summary: "its agent is being removed" }, emit, () =>
      uninstalled(node, { cluster, purge }),
    );
  }
  return { node, changed: changes.length };
}

export interface CheckResetOptions extends Pick<ResetNodeOptions, "cluster" | "caPem" | "wholeCluster" | "signal"> {
  /**
   * The internal addresses of all machines that the command resets, if it removes the whole cluster. The agent then
   * refuses the reset if another machine still runs a member of its etcd cluster. Default: none, and no check.
   */
  readonly clusterIps?: readonly string[];
}

/**
 * Asks the agent whether it would refuse a reset. Changes nothing. With `wholeCluster`, the agent does not check
 * whether etcd keeps its quorum.
 * @throws KhwError the agent's refusal
 */
export async function checkReset(
  node: AgentNode,
  { signal, clusterIps = [], ...options }: CheckResetOptions,
): Promise<void> {
  const request = requestOf(node, { ...options, purge: false });
  await node.removal.reset({ ...request, checkOnly: true, clusterIps: [...clusterIps] }, signal);
}

function requestOf(
  { address: { name } }: AgentNode,
  { cluster, caPem, wholeCluster, purge }: Pick<ResetNodeOptions, "cluster" | "caPem" | "wholeCluster" | "purge">,
): ResetRequest {
  return {
    node: name,
    clusterName: cluster.config.cluster.name,
    caPem,
    purge,
    wholeCluster,
    checkOnly: false,
    clusterIps: [],
  };
}

interface DrainFirstOptions {
  readonly cluster: OpenCluster;
  readonly signal: AbortSignal;
  readonly emit: (event: StepEvent) => void;
}

/** Drains a node that serves traffic. A partly reset node no longer serves traffic, so it is not drained. */
export async function drainFirst(node: AgentNode, { cluster, signal, emit }: DrainFirstOptions): Promise<void> {
  const { cloud, config } = cluster;
  const own = (await readServingStates(cluster, signal)).find(({ name }) => name === node.address.name);
  if (own === undefined || !serves(own)) return;
  const reason = DrainReason.DRAIN_REASON_ROLLING_UPDATE;
  await leave(node, { cloud, timeouts: config.timeouts, signal, emit, reason });
}

/** Waits until the agent answers and reports no operation, which shows that the agent's state is cleared. */
async function restarted(node: AgentNode, cluster: OpenCluster): Promise<void> {
  await waitFor({
    what: "the agent has not restarted after the reset",
    check: async (): Promise<Look<void>> => {
      try {
        const { operation } = await cluster.reconnect(node).info(never);
        return operation === undefined ? { reached: undefined } : { seen: "the agent still has its state" };
      } catch (error) {
        return { seen: toKhwError(error).message };
      }
    },
    deadlineMillis: restartMillis,
    intervalMillis: 500,
    signal: never,
    late: ({ seen }) =>
      new KhwError("TIMEOUT", `the agent has not restarted after the reset: ${seen}`, {
        hint: "see `journalctl -u khw-agent` on the node, then run the same command again",
      }),
  });
}

/**
 * Removes the agent's package, and waits until the agent no longer answers. Only the node's journal shows the result of
 * apt, because apt stops the agent before removing its files.
 */
async function uninstalled(
  node: AgentNode,
  { cluster, purge }: { readonly cluster: OpenCluster; readonly purge: boolean },
): Promise<void> {
  await cluster.reconnect(node).removal.uninstall({ purge }, never);
  await waitFor({
    what: "the agent's package is still installed",
    check: async (): Promise<Look<void>> => {
      try {
        await cluster.reconnect(node).info(never);
        return { seen: "the agent still answers" };
      } catch (error) {
        const { code, message } = toKhwError(error);
        return code === "UNREACHABLE" ? { reached: undefined } : { seen: message };
      }
    },
    deadlineMillis: uninstallMillis,
    intervalMillis: 1_000,
    signal: never,
    late: ({ seen }) =>
      new KhwError("TIMEOUT", `the agent's package is still installed: ${seen}`, {
        hint: "see `journalctl -u khw-agent-removal` on the node",
      }),
  });
}
