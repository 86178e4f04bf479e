import type { X509Certificate } from "node:crypto";

/**
 * The attributes of a distinguished name, by short name ("CN", "O"). The values of an attribute are in the same order
 * as in the certificate.
 */
export type DistinguishedName = Readonly<Record<string, readonly string[]>>;

/**
 * Returns the subject of a certificate. Does not use `X509Certificate.toLegacyObject()`, which crashes in Node 24.21 if
 * the key is on a curve without a NIST name (docs/decisions/peer-certificates.md).
 */
export function subjectOf({ subject }: Pick<X509Certificate, "subject">): DistinguishedName {
  return parseName(subject);
}

/**
 * Formats the name on one line. For a certificate with an empty subject, Node returns undefined, although its type
 * declarations do not allow this.
 */
export function nameOnOneLine(text: string | undefined): string {
  return text?.replaceAll("\n", ", ") ?? "without a name";
}

/**
 * Parses a name in Node's format. Each line contains one attribute, or several attributes of one relative distinguished
 * name, joined by " + ". Special characters are escaped as in RFC 2253.
 */
export function parseName(text: string | undefined): DistinguishedName {
  const name: Record<string, string[]> = {};
  // For a certificate without a subject, the text is undefined, although Node's type declarations do not allow this.
  for (const part of text?.split(/\n| \+ /) ?? []) {
    const sign = part.indexOf("=");
    if (sign > 0) (name[part.slice(0, sign)] ??= []).push(unescape(part.slice(sign + 1)));
  }
  return name;
}

function unescape(value: string): string {
  return value.replaceAll(/\\(?:([0-9A-F]{2})|(.))/gs, (_match, hex?: string, character?: string) =>
    hex === undefined ? (character ?? "") : String.fromCharCode(Number.parseInt(hex, 16)),
  );
}
