import type { LogEntry } from "../../proto/gen/khw/agent/v1/agent.ts";
import type { AgentNode } from "../cluster/agent-client.ts";
import type { Source } from "./read-all.ts";

/** A line in a node's journal. */
export interface LogLine extends LogEntry {
  readonly node: string;
  readonly component: string;
}

export interface LogRequest {
  readonly component: string;
  readonly lines: number;
  readonly sinceUnixMillis: number;
  readonly follow: boolean;
}

/**
 * Streams a component's journal on a node. When the stream is opened again, it continues from the time of the last
 * line. The stream then skips lines with the same timestamp that were already read.
 */
export function logSource(node: AgentNode, request: LogRequest): Source<LogLine> {
  const { component } = request;
  const { name } = node.address;
  let last = 0;
  let read = 0;
  async function* open(signal: AbortSignal): AsyncGenerator<LogLine> {
    const again = last > 0 ? { ...request, lines: 0, sinceUnixMillis: last } : request;
    let repeated = read;
    // Calls GetInfo first, with a deadline, because a journal without new lines sends nothing.
    await node.info(signal);
    for await (const entry of node.logs(again, signal)) {
      const time = entry.timeUnixMillis;
      if (time < last || (time === last && repeated > 0)) {
        if (time === last) repeated -= 1;
        continue;
      }
      if (time > last) [last, read, repeated] = [time, 0, 0];
      read += 1;
      yield { ...entry, node: name, component };
    }
  }
  return { title: `${name}: ${component}`, open };
}
