import { KhwError } from "../../proto/errors.ts";
import { oneLine } from "../../proto/sanitize.ts";

/**
 * The unchecked fields of a response's JSON object. The functions below throw COMPUTE_FAILED if a field has the wrong
 * type.
 */
export type Fields = Readonly<Record<string, unknown>>;

/** Returns the text as a single line, sanitized. */
export function textField(fields: Fields, field: string, absent = ""): string {
  return oneLine(rawText(fields, field, absent));
}

/** Returns Google's text unchanged, so that it can be sent back. The text must never be shown. */
export function rawText(fields: Fields, field: string, absent = ""): string {
  const value = fields[field] ?? absent;
  return typeof value === "string" ? value : refuseField(field, "a string");
}

export function number(fields: Fields, field: string, absent = 0): number {
  const value = fields[field] ?? absent;
  return typeof value === "number" ? value : refuseField(field, "a number");
}

export function texts(fields: Fields, field: string): string[] {
  return listField(fields, field).map((value) =>
    typeof value === "string" ? oneLine(value) : refuseField(field, "a list of strings"),
  );
}

export function objects(fields: Fields, field: string): Fields[] {
  return listField(fields, field).map((value) => (isFields(value) ? value : refuseField(field, "a list of objects")));
}

export function isFields(value: unknown): value is Fields {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

function listField(fields: Fields, field: string): unknown[] {
  const value = fields[field] ?? [];
  return Array.isArray(value) ? value : refuseField(field, "a list");
}

function refuseField(field: string, wanted: string): never {
  throw new KhwError("COMPUTE_FAILED", `the API's answer cannot be read: ${field} is not ${wanted}`, {
    hint: "check that gce.endpoint is the URL of the Compute Engine API, version 1",
  });
}
