import type { HistoryEvent } from "../../proto/gen/khw/agent/v1/agent.ts";
import type { AgentNode } from "../cluster/agent-client.ts";
import type { Source } from "./read-all.ts";

/** An event on a node. */
export interface NodeEvent extends HistoryEvent {
  readonly node: string;
}

export interface HistoryRequest {
  readonly sinceUnixMillis: number;
  readonly limit: number;
  readonly follow: boolean;
}

/**
 * Streams the history of a node's agent. When the stream is opened again, it continues after the last event that was
 * read. This works because event ids only increase.
 */
export function historySource(node: AgentNode, request: HistoryRequest): Source<NodeEvent> {
  const { name } = node.address;
  let last: HistoryEvent | undefined;
  async function* open(signal: AbortSignal): AsyncGenerator<NodeEvent> {
    const again = last === undefined ? request : { ...request, limit: 0, sinceUnixMillis: last.timeUnixMillis };
    // Calls GetInfo first, with a deadline, because a node without new events sends nothing.
    await node.info(signal);
    for await (const event of node.history(again, signal)) {
      if (last !== undefined && event.id <= last.id) continue;
      last = event;
      yield { ...event, node: name };
    }
  }
  return { title: name, open };
}
