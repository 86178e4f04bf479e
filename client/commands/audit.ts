import { openCluster } from "../cluster/open.ts";
import { selectNodes } from "../cluster/select-nodes.ts";
import type { ClusterConfig } from "../config/schema.ts";
import { parseSince } from "../config/since.ts";
import { answering, collectFailures } from "../logs/failures.ts";
import { mergeByTime } from "../logs/merge-by-time.ts";
import { readAll } from "../logs/read-all.ts";
import type { Output } from "../progress/open.ts";
import type { AuditEntry } from "../../proto/gen/khw/agent/v1/agent.ts";
import type { Context } from "../terminal/context.ts";
import { painter } from "../terminal/colour.ts";

export interface AuditOptions {
  /** The node arguments; if empty, all nodes. */
  readonly nodes: readonly string[];
  readonly since: string;
  readonly output: Output;
}

interface NodeEntry extends AuditEntry {
  readonly node: string;
}

const defaultLimit = 50;
const patienceMillis = 3_000;

/** Prints the audit entries of all agents, sorted by time. Returns exit code 0, or 3 if a node did not answer. */
export async function auditEntries(config: ClusterConfig, context: Context, options: AuditOptions): Promise<number> {
  const { signal } = context;
  const sinceUnixMillis = parseSince(options.since, Date.now());
  const limit = sinceUnixMillis === 0 ? defaultLimit : 0;
  await using cluster = await openCluster(config, signal, { greet: false });
  const chosen = options.nodes.length === 0 ? cluster.members : selectNodes(cluster.members, options.nodes);
  const failures = collectFailures(context);
  const sources = answering(chosen, failures).map(({ node }) => {
    const { name } = node.address;
    async function* open(until: AbortSignal): AsyncGenerator<NodeEntry> {
      for await (const entry of node.audit({ sinceUnixMillis, limit }, until)) yield { ...entry, node: name };
    }
    return readAll({ title: name, open }, { follow: false, signal, failed: failures.failed });
  });
  const show = options.output === "json" ? showJson : showText;
  const merged = mergeByTime(sources, { timeOf: ({ timeUnixMillis }) => timeUnixMillis, patienceMillis });
  for await (const entry of merged) context.write(`${show(entry, context)}\n`);
  return signal.aborted ? 0 : failures.conclude(chosen.length);
}

function showJson(entry: NodeEntry): string {
  return JSON.stringify({ time: new Date(entry.timeUnixMillis).toISOString(), ...entry });
}

function showText(entry: NodeEntry, context: Context): string {
  const { node, caller, role, serialNumber, address, method, target, result, message, count } = entry;
  const mark = result === "OK" ? " " : painter(context)("red", "✖");
  const who = `${caller} (${role === "" ? "no role" : role}, certificate ${serialNumber}) from ${address}`;
  const parts = [who, [method, target].filter((part) => part !== "").join(" "), result, message];
  const text = parts.filter((part) => part !== "").join(": ");
  const times = count > 1 ? ` (${count} times within a minute)` : "";
  return `${new Date(entry.timeUnixMillis).toISOString()} ${node} ${mark} ${text}${times}`;
}
