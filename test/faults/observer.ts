/**
 * Listens to agents, and forwards each message with its time of arrival. Runs in a separate process on the testbed's
 * network. watch.ts starts this program and controls it over Node's IPC channel.
 *
 * usage: observer.ts FOLDER NAME=HOST...     FOLDER: the folder that contains the management identity
 */
import { join } from "node:path";
import { setTimeout as delay } from "node:timers/promises";

import { readManagementIdentity } from "../../client/cluster/channel.ts";
import { type AgentNode, connectNode } from "../../client/cluster/agent-client.ts";
import type { GetPlanResponse, HistoryEvent, WatchStatusResponse } from "../../proto/gen/khw/agent/v1/agent.ts";

/** The observer's messages. Times are in milliseconds since the epoch. */
export type Heard =
  | { readonly kind: "status"; readonly node: string; readonly at: number; readonly message: WatchStatusResponse }
  | { readonly kind: "event"; readonly node: string; readonly at: number; readonly event: HistoryEvent }
  | { readonly kind: "lost"; readonly node: string; readonly at: number; readonly reason: string }
  | { readonly kind: "answer"; readonly id: number; readonly answer: Answer | { readonly error: string } };

/** A question to the observer. */
export interface Question {
  readonly id: number;
  readonly node: string;
}

/** The node's current drift, and the entire history of the node's agent. */
export interface Answer {
  readonly plan: GetPlanResponse;
  readonly history: readonly HistoryEvent[];
}

/** The delay between two attempts to reconnect to an agent. */
const againMillis = 200;

const [folder = "", ...places] = process.argv.slice(2);
const identity = await readManagementIdentity({
  ca: join(folder, "ca.pem"),
  certificate: join(folder, "admin.pem"),
  key: join(folder, "admin-key.pem"),
});
const ending = new AbortController();
const nodes = new Map(
  places.map((place) => {
    const [name = "", host = ""] = place.split("=");
    return [name, connectNode({ name, host, port: 7443 }, identity)];
  }),
);

process.on("message", (question: Question) => void answer(question));
process.once("disconnect", () => {
  ending.abort();
  process.exit(0);
});
const since = Date.now();
await Promise.all([...nodes.values()].flatMap((node) => [forEver(node, status), forEver(node, history())]));

/** Listens to the agent until the process ends. Reconnects whenever the connection is lost. */
async function forEver(node: AgentNode, listen: (node: AgentNode) => Promise<void>): Promise<void> {
  while (!ending.signal.aborted) {
    const reason = await listen(node).then(
      () => "the agent ended the stream",
      (error: unknown) => String(error),
    );
    // Both streams are lost at the same time, but only the status stream starts again with a full status. Therefore,
    // only the status stream reports the loss.
    if (listen === status) tell({ kind: "lost", node: node.address.name, at: Date.now(), reason });
    await delay(againMillis);
  }
}

async function status(node: AgentNode): Promise<void> {
  for await (const message of node.watch(ending.signal)) {
    tell({ kind: "status", node: node.address.name, at: Date.now(), message });
  }
}

/** Reports each event once, even if the agent repeats events after a reconnect. */
function history(): (node: AgentNode) => Promise<void> {
  let last = 0;
  return async (node) => {
    for await (const event of node.history({ sinceUnixMillis: since, limit: 0, follow: true }, ending.signal)) {
      if (event.id > last) tell({ kind: "event", node: node.address.name, at: Date.now(), event });
      last = Math.max(last, event.id);
    }
  };
}

async function answer({ id, node: name }: Question): Promise<void> {
  tell({ kind: "answer", id, answer: await ask(name).catch((error: unknown) => ({ error: String(error) })) });
}

async function ask(name: string): Promise<Answer> {
  const node = nodes.get(name);
  if (node === undefined) throw new Error(`no node ${name}`);
  const signal = AbortSignal.timeout(30_000);
  const plan = await node.drift(signal);
  const history: HistoryEvent[] = [];
  for await (const event of node.history({ sinceUnixMillis: 0, limit: 0, follow: false }, signal)) history.push(event);
  return { plan, history };
}

function tell(heard: Heard): void {
  process.send?.(heard);
}
