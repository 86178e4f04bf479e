import type { LogEntry } from "../../proto/gen/khw/agent/v1/agent.ts";

/** The maximum length of a line. Longer lines are truncated, so that a terminal can still display them. */
const maxTextLength = 16_384;
/** The end of the year 9999. A damaged journal may contain later times, which programs cannot display. */
const latestUnixMillis = Date.parse("9999-12-31T23:59:59.999Z");
/** The syslog priority "info", which applies to output without an explicit priority. */
const defaultPriority = 6;

/** Parses a line from `journalctl --output=json`; returns undefined if the line is invalid. */
export function parseJournalLine(line: string): LogEntry | undefined {
  const fields = parseJournalFields(line);
  if (fields === undefined) return undefined;
  const number = (name: string): number | undefined => {
    const value = fields.get(name);
    return typeof value === "string" && /^\d{1,19}$/.test(value) ? Number(value) : undefined;
  };
  const micros = number("__REALTIME_TIMESTAMP");
  if (micros === undefined) return undefined;
  return {
    timeUnixMillis: Math.min(Math.floor(micros / 1000), latestUnixMillis),
    text: messageText(fields.get("MESSAGE")).slice(0, maxTextLength),
    priority: Math.min(number("PRIORITY") ?? defaultPriority, 7),
    pid: number("_PID") ?? number("SYSLOG_PID") ?? 0,
  };
}

function parseJournalFields(line: string): Map<string, unknown> | undefined {
  try {
    const value: unknown = JSON.parse(line);
    return typeof value === "object" && value !== null ? new Map(Object.entries(value)) : undefined;
  } catch {
    // journalctl exited before it had written the whole line.
    return undefined;
  }
}

/**
 * Returns the text of a message field. journald encodes the field as bytes if it is not UTF-8, and as a list if it
 * occurs more than once.
 */
function messageText(message: unknown): string {
  if (typeof message === "string") return message;
  if (!Array.isArray(message)) return "";
  return message.every((byte) => typeof byte === "number")
    ? Buffer.from(message).toString("utf8")
    : message.map(messageText).join("\n");
}
