import { selectNodes } from "../cluster/select-nodes.ts";
import { openCluster } from "../cluster/open.ts";
import { painter } from "../terminal/colour.ts";
import type { ClusterConfig } from "../config/schema.ts";
import type { Context } from "../terminal/context.ts";
import type { Output } from "../progress/open.ts";
import { parseSince } from "../config/since.ts";
import { historyName } from "../status/words.ts";
import { answering, collectFailures } from "../logs/failures.ts";
import { historySource, type NodeEvent } from "../logs/history.ts";
import { mergeByTime } from "../logs/merge-by-time.ts";
import { readAll } from "../logs/read-all.ts";

export interface EventsOptions {
  /** The node arguments; if empty, all nodes. */
  readonly nodes: readonly string[];
  readonly since: string;
  readonly follow: boolean;
  readonly output: Output;
}

const defaultLimit = 50;
const patienceMillis = { follow: 300, once: 3_000 };

/** Prints the agents' histories, merged by time. Returns exit code 0, or 3 if a node did not answer. */
export async function events(config: ClusterConfig, context: Context, options: EventsOptions): Promise<number> {
  const { nodes, follow, output } = options;
  const { signal } = context;
  const sinceUnixMillis = parseSince(options.since, Date.now());
  const limit = sinceUnixMillis === 0 ? defaultLimit : 0;
  await using cluster = await openCluster(config, signal, { greet: false });
  const chosen = nodes.length === 0 ? cluster.members : selectNodes(cluster.members, nodes);
  const failures = collectFailures(context);
  const sources = answering(chosen, failures).map(({ node }) =>
    readAll(historySource(node, { sinceUnixMillis, limit, follow }), { follow, signal, failed: failures.failed }),
  );
  const width = Math.max(...chosen.map(({ node }) => node.address.name.length));
  const show = output === "json" ? jsonWriter(context) : textWriter(context, width);
  const patience = follow ? patienceMillis.follow : patienceMillis.once;
  const merged = mergeByTime(sources, { timeOf: ({ timeUnixMillis }) => timeUnixMillis, patienceMillis: patience });
  for await (const event of merged) show(event);
  return signal.aborted ? 0 : failures.conclude(chosen.length);
}

function jsonWriter({ write }: Context): (event: NodeEvent) => void {
  return (event) => {
    const time = new Date(event.timeUnixMillis).toISOString();
    write(`${JSON.stringify({ time, ...event, kind: historyName(event.kind) })}\n`);
  };
}

function textWriter(context: Context, width: number): (event: NodeEvent) => void {
  const paint = painter(context);
  return ({ node, timeUnixMillis, kind, subject, message, cause, problem }) => {
    const text = [subject, message, cause].filter((part) => part !== "");
    const mark = problem ? paint("red", "✖") : " ";
    const time = new Date(timeUnixMillis).toISOString();
    context.write(`${time} ${node.padEnd(width)} ${mark} ${historyName(kind).padEnd(11)} ${text.join(": ")}\n`);
  };
}
