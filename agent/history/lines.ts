import type { HistoryEvent } from "../../proto/gen/khw/agent/v1/agent.ts";

/** Longer texts are cut, so that no single event pushes the others out. */
const maxTextLength = 4_000;

/** An event as one line of JSON, its end included. */
export function encodeEvent(event: HistoryEvent): string {
  const cut = (text: string): string => (text.length > maxTextLength ? `${text.slice(0, maxTextLength)}...` : text);
  const { subject, message, cause } = event;
  return `${JSON.stringify({ ...event, subject: cut(subject), message: cut(message), cause: cut(cause) })}\n`;
}

/** The events of a file, one by one; a line that is none is passed over. */
export function* decodeEvents(file: Buffer): Generator<HistoryEvent> {
  for (let start = 0; start < file.length;) {
    const newline = file.indexOf("\n", start);
    const end = newline === -1 ? file.length : newline;
    const event = decodeEvent(file.toString("utf8", start, end));
    if (event !== undefined) yield event;
    start = end + 1;
  }
}

function decodeEvent(line: string): HistoryEvent | undefined {
  try {
    const value: unknown = JSON.parse(line);
    return isEvent(value) ? value : undefined;
  } catch {
    // Whatever the parser says, it says of a line that a loss of power cut off.
    return undefined;
  }
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
  if (typeof value !== "object" || value === null) return false;
  const fields = new Map<string, unknown>(Object.entries(value));
  return Object.entries(types).every(([name, type]) => typeof fields.get(name) === type);
}
