import { setTimeout as wait } from "node:timers/promises";
import type { WatchStatusResponse } from "../../proto/gen/khw/agent/v1/agent.ts";
import type { Cloud, Member } from "../cluster/open.ts";
import { painter } from "../terminal/colour.ts";
import type { Context } from "../terminal/context.ts";
import type { OutputFormat } from "../terminal/output-format.ts";
import { readLoadBalancer } from "../status/read.ts";
import type { LoadBalancerState, NodeState } from "../status/state.ts";
import { createGate, type Gate } from "../logs/gate.ts";
import { reconnecting } from "../logs/reconnecting.ts";
import { documentDisplay } from "./documents.ts";
import { type Display, nodeAfter, type NodeEvent } from "./events.ts";
import { lineDisplay } from "./lines.ts";
import { liveDisplay } from "./live.ts";

export interface WatchOptions {
  readonly members: readonly Member[];
  readonly cloud: Cloud | undefined;
  readonly form: OutputFormat;
  readonly context: Context;
}

/** The agent sends its state immediately, so this limits only the time to connect. */
const firstMillis = 10_000;
/**
 * Limits the simultaneous connection attempts, so that a slow workstation with many nodes does not mistake its own
 * delays for unreachable nodes.
 */
const connectingAtOnce = 100;
const loadBalancerMillis = 5_000;

/** Shows all nodes, the load balancer and each change until the context's signal is aborted. */
export async function watchStatus({ members, cloud, form, context }: WatchOptions): Promise<void> {
  const display = openDisplay(form, context);
  const gate = createGate(connectingAtOnce);
  const states = new Map<string, NodeState>(
    members.map(({ node: { address } }) => [address.name, { node: address.name }]),
  );
  let loadBalancer: LoadBalancerState | undefined;
  const cluster = () => ({ nodes: [...states.values()], loadBalancer });
  const hear = (event: NodeEvent): void => {
    const before = states.get(event.node) ?? { node: event.node };
    const after = nodeAfter(before, event);
    states.set(event.node, after);
    display.hear({ kind: "node", event, before, after }, cluster);
  };
  const hearLoadBalancer = (after: LoadBalancerState): void => {
    const before = loadBalancer;
    loadBalancer = after;
    display.hear({ kind: "loadBalancer", before, after }, cluster);
  };
  try {
    await Promise.all([
      ...members.map((member) => watchNode(member, { hear, gate, signal: context.signal })),
      cloud === undefined
        ? undefined
        : watchLoadBalancer({ cloud, members, hear: hearLoadBalancer, signal: context.signal }),
    ]);
  } finally {
    display.close();
  }
}

function openDisplay(form: OutputFormat, context: Context): Display {
  switch (form) {
    case "json":
    case "yaml":
      return documentDisplay(form, context.write);
    case "text":
    case "wide":
      return context.terminal && context.size !== undefined
        ? liveDisplay({ write: context.write, size: context.size, paint: painter(context) })
        : lineDisplay(context.write);
  }
}

interface WatchNode {
  readonly hear: (event: NodeEvent) => void;
  readonly gate: Gate;
  readonly signal: AbortSignal;
}

async function watchNode({ node, error }: Member, { hear, gate, signal }: WatchNode): Promise<void> {
  const { name } = node.address;
  if (error !== undefined) hear({ kind: "away", node: name, error, retryMillis: 0 });
  const messages = reconnecting<WatchStatusResponse>({
    open: (opened) => node.watch(opened),
    lost: (error, retryMillis) => hear({ kind: "away", node: name, error, retryMillis }),
    passing: () => true,
    firstMillis,
    gate,
    signal,
  });
  for await (const { kind } of messages) {
    if (kind?.$case === "full") hear({ kind: "status", node: name, status: kind.value });
    else if (kind?.$case === "change") hear({ kind: "change", node: name, change: kind.value });
  }
}

interface WatchLoadBalancer {
  readonly cloud: Cloud;
  readonly members: readonly Member[];
  readonly hear: (state: LoadBalancerState) => void;
  readonly signal: AbortSignal;
}

/** The Compute API sends no notifications, so it is polled. */
async function watchLoadBalancer({ cloud, members, hear, signal }: WatchLoadBalancer): Promise<void> {
  while (!signal.aborted) {
    const state = await readLoadBalancer(cloud, members, signal);
    if (signal.aborted) return;
    hear(state);
    await wait(loadBalancerMillis, undefined, { signal }).catch(() => {});
  }
}
