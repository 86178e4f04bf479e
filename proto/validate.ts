import { isIPv4 } from "node:net";
import { isAbsolute } from "node:path";
import { KhwError } from "./errors.ts";
import { oneLine, unsafeCharacter } from "./sanitize.ts";

/** Throws an error that rejects a value. The error's message is `field: message`, and its hint is the remedy. */
export function refuse(field: string, message: string, hint?: string): never {
  throw new KhwError("INVALID_ARGUMENT", `${field}: ${message}`, { hint });
}

/**
 * Formats a value for a message: quotes it, escapes or replaces unsafe characters, and truncates it to 80 characters.
 */
export function show(value: string): string {
  return oneLine(JSON.stringify(value.length > 80 ? `${value.slice(0, 77)}...` : value));
}

/**
 * Parses a name, and checks it against the naming rules of Compute Engine. The name of an instance, like most other
 * names, must be an RFC 1035 label of at most 63 characters.
 */
export function parseNodeName(field: string, value: string, what = "an instance name"): string {
  if (!/^[a-z]([-a-z0-9]{0,61}[a-z0-9])?$/.test(value)) {
    refuse(
      field,
      `${show(value)} cannot be ${what}`,
      "use at most 63 lower-case letters, digits and hyphens, and start with a letter",
    );
  }
  return value;
}

export function parseIPv4(field: string, value: string): string {
  if (!isIPv4(value)) refuse(field, `${show(value)} is not an IPv4 address`);
  return value;
}

export interface Cidr {
  readonly text: string;
  /** The first and the last address as numbers. */
  readonly first: number;
  readonly last: number;
}

/** Parses an IPv4 network in CIDR notation. The host bits must be zero. */
export function parseCidr(field: string, text: string): Cidr {
  const [address = "", bits = "", ...rest] = text.split("/");
  if (!isIPv4(address) || !/^([0-9]|[12][0-9]|3[0-2])$/.test(bits) || rest.length > 0) {
    refuse(field, `${show(text)} is not a network in CIDR notation`, "for example 10.32.0.0/24");
  }
  const first = ipv4ToNumber(address);
  const size = 2 ** (32 - Number(bits));
  if (first % size !== 0) {
    refuse(field, `${show(text)} has host bits set`, `use the network ${numberToIPv4(first - (first % size))}/${bits}`);
  }
  return { text, first, last: first + size - 1 };
}

export function cidrsOverlap(a: Cidr, b: Cidr): boolean {
  return a.first <= b.last && b.first <= a.last;
}

export function ipv4ToNumber(address: string): number {
  return address.split(".").reduce((number, octet) => number * 256 + Number(octet), 0);
}

export function numberToIPv4(number: number): string {
  return [24, 16, 8, 0].map((shift) => Math.floor(number / 2 ** shift) % 256).join(".");
}

/** The maximum length of a value, in bytes. No flag, path or URL needs to be longer. */
const longestText = 4096;

/**
 * Rejects text that is too long. Also rejects characters that programs, terminals and people could interpret
 * differently.
 */
function refuseUnsafe(field: string, value: string): void {
  const bytes = Buffer.byteLength(value);
  if (bytes > longestText) refuse(field, `the value has ${bytes} bytes; khw accepts at most ${longestText}`);
  const unsafe = unsafeCharacter(value);
  if (unsafe === undefined) return;
  const code = `U+${(unsafe.codePointAt(0) ?? 0).toString(16).toUpperCase().padStart(4, "0")}`;
  const what = /\p{Cc}/u.test(unsafe) ? "a control character or a line break" : "a character that cannot be printed";
  refuse(field, `${show(value)} contains ${what} (${code})`, "write the value on one line, in printable characters");
}

/**
 * Parses a value for a command line. The value must be a single line of at most 4 KiB, without unsafe characters or
 * quotation marks.
 */
export function parseFlagValue(field: string, value: string): string {
  refuseUnsafe(field, value);
  if (/['"]/.test(value)) refuse(field, `${show(value)} contains a quotation mark`, "write the value without quotes");
  return value;
}

/** Parses the name of a flag. The name must have no leading dashes, and must be spelled like a Kubernetes flag. */
export function parseFlagName(field: string, name: string): string {
  if (!/^[a-z][a-z0-9-]{0,127}$/.test(name))
    refuse(
      field,
      `${show(name)} cannot be a flag name`,
      "write the name without leading dashes, for example event-ttl",
    );
  return name;
}

export function parseSha256(field: string, value: string): string {
  if (!/^[0-9a-f]{64}$/.test(value)) refuse(field, `${show(value)} is not a SHA-256 digest in lower-case hex`);
  return value;
}

/**
 * Parses a URL with one of these schemes ("https:", ...), and removes trailing slashes. Error messages show the URL
 * without the user name and password.
 */
export function parseUrl(field: string, text: string, protocols: readonly string[]): string {
  const shown = show(text.replace(/\/\/[^/]*@/, "//"));
  const bytes = Buffer.byteLength(text);
  if (bytes > longestText) refuse(field, `the value has ${bytes} bytes; khw accepts at most ${longestText}`);
  if (unsafeCharacter(text) !== undefined) refuse(field, `${shown} contains a character that is not allowed in a URL`);
  if (/[\s"'\\,]/.test(text)) refuse(field, `${shown} contains a character that is not allowed in a URL`);
  const url = URL.parse(text) ?? refuse(field, `${shown} is not a URL`);
  if (!protocols.includes(url.protocol))
    refuse(field, `${shown} is not a URL with the scheme ${protocols.join(" or ").replaceAll(":", "")}`);
  return text.replace(/\/+$/, "");
}

/** Parses a mirror: a URL (https, http, file) or the absolute path of a folder. Removes trailing slashes from a URL. */
export function parseMirror(field: string, location: string): string {
  return isAbsolute(location)
    ? parseFlagValue(field, location)
    : parseUrl(field, location, ["https:", "http:", "file:"]);
}

export function parseUuid(field: string, text: string): string {
  return /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/.test(text) ? text : refuse(field, "is not a UUID");
}
