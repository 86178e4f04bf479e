import type { CallProperties } from "@grpc/grpc-js";
import { keepLines, oneLine, paragraph } from "../../proto/sanitize.ts";

/** The prefix of grpc-js's error details if a response could not be decoded, or if this module rejected it. */
const undecodable = "Response message parsing error: ";

/**
 * Checks and sanitizes every message from an agent when grpc-js decodes it, so that commands do not need to. Strings
 * become a single line, but errors keep their paragraphs, and file contents keep their line breaks. An error always
 * names the node that answered. A message with an impossible number makes the call fail. The node that sent the message
 * is reported, and the other nodes' answers still count.
 */
export function checkResponses<Request, Response>(
  call: CallProperties<Request, Response>,
): CallProperties<Request, Response> {
  const { responseDeserialize } = call.methodDefinition;
  const methodDefinition = {
    ...call.methodDefinition,
    responseDeserialize: (bytes: Buffer): Response => checkMessage(responseDeserialize(bytes)),
  };
  return { ...call, methodDefinition };
}

/**
 * Reads the reason for a rejected response from the error details of the call. Returns undefined if the call failed for
 * another reason.
 */
export function refusedResponse(details: string): string | undefined {
  return details.startsWith(undecodable) ? details.slice(undecodable.length) : undefined;
}

/**
 * Returns the message with sanitized text.
 * @throws RangeError that names the field with an impossible number
 */
export function checkMessage<Message>(message: Message): Message;
export function checkMessage(message: unknown): unknown {
  return checkValue(message, { field: "", path: "", clean: oneLine });
}

interface Place {
  /** The innermost field's name. */
  readonly field: string;
  readonly path: string;
  readonly clean: (text: string) => string;
}

/** The fields that hold whole files. */
const fileFields: ReadonlySet<string> = new Set(["found", "wanted", "certificate", "request"]);
/** The fields of an ErrorDetail that may contain several lines. */
const errorFields: ReadonlySet<string> = new Set(["message", "hint"]);
/** The field of SnapshotRun that contains an error and its hint. */
const snapshotProblem = "problem";

function checkValue(value: unknown, place: Place): unknown {
  if (typeof value === "string") return place.clean(value);
  if (typeof value === "number") return checkNumber(value, place);
  if (typeof value !== "object" || value === null || value instanceof Uint8Array) return value;
  if (Array.isArray(value)) {
    return value.map((item: unknown, index) => checkValue(item, { ...place, path: `${place.path}[${index}]` }));
  }
  const isError = "code" in value && "hint" in value && "step" in value;
  const entries = Object.entries(value).map(([field, inner]): [string, unknown] => {
    const path = field === "value" ? place.path : place.path === "" ? field : `${place.path}.${field}`;
    return [field, checkValue(inner, { field, path, clean: cleanerOf(field, isError) })];
  });
  return Object.fromEntries(entries);
}

function cleanerOf(field: string, isError: boolean): Place["clean"] {
  if (fileFields.has(field)) return keepLines;
  if (isError && field === "node") return () => "";
  return field === snapshotProblem || (isError && errorFields.has(field)) ? paragraph : oneLine;
}

/** The years 1 to 9999, which every program can represent. */
const earliest = Date.parse("0001-01-01T00:00:00Z");
const latest = Date.parse("9999-12-31T23:59:59.999Z");

function checkNumber(value: number, { field, path }: Place): number {
  const sound = field.endsWith("UnixMillis") ? value >= earliest && value <= latest : Number.isFinite(value);
  if (sound) return value;
  throw new RangeError(`${path} is ${value}`);
}
