import type { AuditEntry } from "../../proto/gen/khw/agent/v1/agent.ts";
import { decodeLines, encodeLine, hasFields } from "../history/lines.ts";

export function encodeAuditEntry(entry: AuditEntry): string {
  return encodeLine(entry);
}

/** Returns the entries in a file. Skips lines that are not entries. */
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
  return hasFields(value, types);
}
