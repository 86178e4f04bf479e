import type { HistoryEvent } from "../../proto/gen/khw/agent/v1/agent.ts";

/** The maximum length of a text. Longer texts are truncated, so that a single event cannot displace the others. */
const maxTextLength = 4_000;

/** Encodes an entry as one line of JSON, including the newline. */
export function encodeLine(entry: object): string {
  const truncate = (text: string): string =>
    text.length > maxTextLength ? `${text.slice(0, maxTextLength)}...` : text;
  return `${JSON.stringify(entry, (_, value: unknown) => (typeof value === "string" ? truncate(value) : value))}\n`;
}

/** Decodes the entries in a file, one at a time. Skips invalid lines. */
export function* decodeLines<Entry>(file: Buffer, isEntry: (value: unknown) => value is Entry): Generator<Entry> {
  for (let start = 0; start < file.length;) {
    const newline = file.indexOf("\n", start);
    const end = newline === -1 ? file.length : newline;
    const entry = parseLine(file.toString("utf8", start, end));
    if (isEntry(entry)) yield entry;
    start = end + 1;
  }
}

function parseLine(line: string): unknown {
  try {
    return JSON.parse(line);
  } catch {
    // Ignores the parser's error, which would not help the user. A power failure truncated the line.
    return undefined;
  }
}

export function encodeEvent(event: HistoryEvent): string {
  return encodeLine(event);
}

export function decodeEvents(file: Buffer): Generator<HistoryEvent> {
  return decodeLines(file, isEvent);
}

const types = {
  id: "number",
  timeUnixMillis: "number",
  kind: "number",
  subject: "string",
  message: "string",
  cause: "string",
  problem: "boolean",
} as const satisfies Record<keyof HistoryEvent, string>;

function isEvent(value: unknown): value is HistoryEvent {
  return hasFields(value, types);
}

/** Whether the value is an object that has all of these fields, each with the given type. */
export function hasFields(value: unknown, wanted: Readonly<Record<string, string>>): boolean {
  if (typeof value !== "object" || value === null) return false;
  const fields = new Map<string, unknown>(Object.entries(value));
  return Object.entries(wanted).every(([name, type]) => typeof fields.get(name) === type);
}
