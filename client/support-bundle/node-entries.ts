import { formatError, type KhwError, toDetail, toKhwError } from "../../proto/errors.ts";
import type { AgentNode } from "../cluster/agent-client.ts";
import { statusFields } from "../status/document.ts";
import { historyName } from "../status/words.ts";
import { unifiedDiff } from "../terminal/unified-diff.ts";
import type { ArchiveEntry } from "./archive.ts";
import { mask, maskData } from "./mask.ts";
import { createTail } from "./tail.ts";

export interface NodeEntriesOptions {
  readonly journals: readonly string[];
  readonly sinceUnixMillis: number;
  readonly signal: AbortSignal;
}

const largestBytes = 10 * 1024 * 1024;
/** The time limit for a journal or the history; the bundle contains everything that arrived by then. */
const streamMillis = 60_000;

/**
 * Yields everything that a node's agent can report. For each failure, yields an entry with the reason; the other
 * entries are not affected.
 */
export async function* nodeEntries(node: AgentNode, options: NodeEntriesOptions): AsyncGenerator<ArchiveEntry> {
  const { signal, sinceUnixMillis, journals } = options;
  const { name } = node.address;
  const at = (file: string): string => `nodes/${name}/${file}`;
  try {
    yield { path: at("info.json"), text: json(await node.info(signal)) };
  } catch (error) {
    signal.throwIfAborted();
    yield unreachableEntry(name, toKhwError(error));
    return;
  }
  yield await entryOf(at("status.json"), signal, async () => json(statusFields(await node.status(signal))));
  let differences = "";
  yield await entryOf(at("plan.json"), signal, async () => {
    const plan = await node.drift(signal);
    differences = plan.differences.map((text) => unifiedDiff(text, { node: name, colours: false })).join("");
    return json({ steps: plan.steps });
  });
  if (differences !== "") yield { path: at("differences.diff"), text: mask(differences) };
  yield {
    path: at("events.jsonl"),
    text: await collectMessages(
      (ending) => node.history({ sinceUnixMillis: 0, limit: 0, follow: false }, ending),
      ({ kind, ...event }) => JSON.stringify(maskData({ ...event, kind: historyName(kind) })),
      signal,
    ),
  };
  for (const component of journals) {
    yield {
      path: at(`journal/${component}.log`),
      text: await collectMessages(
        (ending) => node.logs({ component, lines: 0, sinceUnixMillis, follow: false }, ending),
        ({ timeUnixMillis, priority, pid, text }) =>
          `${new Date(timeUnixMillis).toISOString()} ${component}[${pid}] <${priority}> ${text}`,
        signal,
      ),
    };
  }
}

/** Returns the entry that replaces all entries for an agent that does not answer. */
export function unreachableEntry(name: string, error: KhwError): ArchiveEntry {
  return { path: `nodes/${name}/unreachable.txt`, text: `${mask(formatError(error))}\n` };
}

/** Returns the masked JSON of the data. */
export function json(data: unknown): string {
  return `${JSON.stringify(maskData(data), null, 2)}\n`;
}

/** Returns an entry with the result of the work, or with the reason for its failure. */
export async function entryOf(path: string, signal: AbortSignal, work: () => Promise<string>): Promise<ArchiveEntry> {
  try {
    return { path, text: await work() };
  } catch (error) {
    signal.throwIfAborted();
    return { path, text: json({ error: toDetail(toKhwError(error)) }) };
  }
}

async function collectMessages<Message>(
  open: (signal: AbortSignal) => AsyncIterable<Message>,
  show: (message: Message) => string,
  signal: AbortSignal,
): Promise<string> {
  const tail = createTail(largestBytes);
  const late = AbortSignal.timeout(streamMillis);
  try {
    for await (const message of open(AbortSignal.any([signal, late]))) tail.add(show(message));
  } catch (error) {
    signal.throwIfAborted();
    const why = late.aborted ? `it was not complete after ${streamMillis / 1000} s` : formatError(toKhwError(error));
    tail.add(`[incomplete: ${why}]`);
  }
  return tail.text();
}
