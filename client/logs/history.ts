import type { HistoryEvent } from "../../proto/gen/khw/agent/v1/agent.ts";
import type { AgentNode } from "../cluster/agent-client.ts";
import type { Source } from "./read-all.ts";

/** Something that happened on a node. */
export interface NodeEvent extends HistoryEvent {
  readonly node: string;
}

export interface HistoryRequest {
  readonly sinceUnixMillis: number;
  readonly limit: number;
  readonly follow: boolean;
}

/** What a node's agent remembers. Opened again it goes on after the last event that was read: their ids count up. */
export function historySource(node: AgentNode, request: HistoryRequest): Source<NodeEvent> {
  const { name } = node.address;
  let last: HistoryEvent | undefined;
  async function* open(signal: AbortSignal): AsyncGenerator<NodeEvent> {
    const again = last === undefined ? request : { ...request, limit: 0, sinceUnixMillis: last.timeUnixMillis };
    // Nothing may ever happen there; who the agent is it tells within its deadline, or it is away.
    await node.info(signal);
    for await (const event of node.history(again, signal)) {
      if (last !== undefined && event.id <= last.id) continue;
      last = event;
      yield { ...event, node: name };
    }
  }
  return { title: name, open };
}
