import type { AuditEntry } from "../../proto/gen/khw/agent/v1/agent.ts";
import { decodeLines, encodeLine } from "../history/lines.ts";

export function encodeAuditEntry(entry: AuditEntry): string {
  return encodeLine(entry);
}

/** The entries of a file, one by one; a line that is none is passed over. */
export function decodeAuditEntries(file: Buffer): Generator<AuditEntry> {
  return decodeLines(file, isEntry);
}

const types = {
  id: "number",
  timeUnixMillis: "number",
  caller: "string",
  role: "string",
  serialNumber: "string",
  address: "string",
  method: "string",
  target: "string",
  result: "string",
  message: "string",
  durationMillis: "number",
  count: "number",
} as const satisfies Record<keyof AuditEntry, string>;

function isEntry(value: unknown): value is AuditEntry {
  if (typeof value !== "object" || value === null) return false;
  const fields = new Map<string, unknown>(Object.entries(value));
  return Object.entries(types).every(([name, type]) => typeof fields.get(name) === type);
}
