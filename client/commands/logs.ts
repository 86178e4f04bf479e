import { KhwError } from "../../proto/errors.ts";
import { show } from "../../proto/validate.ts";
import { selectNodes } from "../cluster/select-nodes.ts";
import { type Member, openCluster } from "../cluster/open.ts";
import { type Colour, type Paint, painter } from "../terminal/colour.ts";
import type { ClusterConfig } from "../config/schema.ts";
import { didYouMean } from "../config/suggest.ts";
import type { Context } from "../terminal/context.ts";
import { journals } from "../config/journals.ts";
import type { Output } from "../progress/open.ts";
import { parseSince } from "../config/since.ts";
import { answering, collectFailures } from "../logs/failures.ts";
import { type LogLine, logSource } from "../logs/logs.ts";
import { mergeByTime } from "../logs/merge-by-time.ts";
import { readAll } from "../logs/read-all.ts";

export { journals };

export interface LogsOptions {
  /** The arguments and options; empty if not given. */
  readonly nodes: string;
  readonly component: string;
  readonly since: string;
  readonly lines: string;
  readonly follow: boolean;
  readonly output: Output;
}

const defaultLines = 100;
const mostLines = 1_000_000;
/**
 * How long a line waits for an older line from another node. The wait is shorter with --follow, because people watch
 * the output.
 */
const patienceMillis = { follow: 300, once: 3_000 };

/** Prints the journals of many nodes, merged by time. Returns exit code 0, or 3 if a node did not answer. */
export async function logs(config: ClusterConfig, context: Context, options: LogsOptions): Promise<number> {
  const { follow, output } = options;
  const { nodes, components } = chooseJournals(options);
  const sinceUnixMillis = parseSince(options.since, Date.now());
  const lines = parseLines(options.lines, sinceUnixMillis);
  await using cluster = await openCluster(config, context.signal, { greet: false });
  const chosen = nodes === "" ? cluster.members : selectNodes(cluster.members, [nodes]);
  const failures = collectFailures(context);
  const requests = answering(chosen, failures).flatMap(({ node }) =>
    components.map((component) => logSource(node, { component, lines, sinceUnixMillis, follow })),
  );
  const sources = requests.map((source) =>
    readAll(source, { follow, signal: context.signal, failed: failures.failed }),
  );
  const show = lineWriter(chosen, { context, components, output });
  const patience = follow ? patienceMillis.follow : patienceMillis.once;
  const merged = mergeByTime(sources, { timeOf: ({ timeUnixMillis }) => timeUnixMillis, patienceMillis: patience });
  for await (const line of merged) show(line);
  if (context.signal.aborted) return 0;
  return failures.conclude(requests.length + chosen.filter(({ error }) => error !== undefined).length);
}

/** Treats an argument as a journal, not as a node, if it is the only argument and names a journal. */
function chooseJournals({ nodes, component }: LogsOptions): { nodes: string; components: readonly string[] } {
  if (component === "" && journals.includes(nodes)) return { nodes: "", components: [nodes] };
  if (component === "") return { nodes, components: journals };
  if (journals.includes(component)) return { nodes, components: [component] };
  throw new KhwError("INVALID_ARGUMENT", `${show(component)} is not a known journal`, {
    hint: didYouMean(component, journals) ?? `use one of ${journals.join(", ")}`,
  });
}

function parseLines(text: string, since: number): number {
  if (text === "") return since === 0 ? defaultLines : 0;
  const lines = Number(text);
  if (/^\d+$/.test(text) && lines >= 1 && lines <= mostLines) return lines;
  throw new KhwError("INVALID_ARGUMENT", `--lines: ${show(text)} is not a number from 1 to ${mostLines}`);
}

interface WriterOptions {
  readonly context: Context;
  readonly components: readonly string[];
  readonly output: Output;
}

function lineWriter(
  members: readonly Member[],
  { context, components, output }: WriterOptions,
): (line: LogLine) => void {
  const { write } = context;
  if (output === "json") return (line) => write(`${JSON.stringify({ time: iso(line), ...line })}\n`);
  const paint = painter(context);
  const names = members.map(({ node }) => node.address.name);
  const nodeWidth = Math.max(...names.map((name) => name.length));
  const componentWidth = Math.max(...components.map((name) => name.length));
  return (line) => {
    const colour = nodeColours[names.indexOf(line.node) % nodeColours.length] ?? "cyan";
    const place = paint(colour, `${line.node.padEnd(nodeWidth)} ${line.component.padEnd(componentWidth)}`);
    write(`${iso(line)} ${place}  ${describeText(line, paint)}\n`);
  };
}

const nodeColours: readonly Colour[] = ["cyan", "magenta", "blue", "green", "yellow"];

/** syslog's priority "error"; lower numbers are worse. */
const errorPriority = 3;

function describeText({ text, priority }: LogLine, paint: Paint): string {
  return priority <= errorPriority ? paint("red", text) : text;
}

function iso({ timeUnixMillis }: LogLine): string {
  return new Date(timeUnixMillis).toISOString();
}
