import type { KeyObject, X509Certificate } from "node:crypto";
import { isIP } from "node:net";
import { nameOnOneLine, subjectOf } from "../../../proto/subject.ts";
import { chainProblem, notAuthority, type Usage, usageProblem } from "./chain.ts";
import { extensionProblems } from "./extensions.ts";
import { encodingProblem } from "./key-kinds.ts";
import { certificatesIn, isPair, privateKeyIn } from "./pem.ts";
import type { Findings, Problem } from "./problem.ts";
import { refusedName } from "./signature-algorithms.ts";
import type { FieldsReader, X509Fields } from "./x509-fields.ts";
import { dayMillis } from "../../../proto/time.ts";

/** PEM text, and the file or kubeconfig field that contains it, for error messages. */
export interface Pem {
  readonly file: string;
  readonly field?: string;
  readonly content: Uint8Array;
}

/** The common input of all certificate checks. */
export interface Trust {
  /** The certificates in ca.pem. If the file cannot be read, the list is empty, and issuers are not checked. */
  readonly authorities: readonly X509Certificate[];
  readonly now: Date;
  readonly fieldsOf: FieldsReader;
  /** The name of the file that contains the authorities. Default: ca.pem. */
  readonly rootFile?: string;
}

const issueAgain = "reissue the certificate with khw-client pki create --renew, or as in lab 04";
const makeAgain = "create it again, as in labs 04 to 06";
/** Certificates that expire within this time are reported. */
const soon = 30 * dayMillis;

/** A TLS certificate, with the certificates that follow it in the file. */
export interface Presented {
  readonly certificate: X509Certificate;
  readonly intermediates: readonly X509Certificate[];
}

/**
 * Checks the first certificate in the text. The certificate must be valid now and suitable for TLS. According to Go's
 * rules, the cluster's CA must have issued it.
 */
export function* certificateIn(pem: Pem, trust: Trust): Findings<Presented | undefined> {
  const { value, problem: what } = certificatesIn(pem.content);
  if (value === undefined) return yield* unreadablePem(pem, what);
  const [certificate, ...intermediates] = value;
  yield* validity(pem, certificate, trust.now);
  const fields = yield* sound(pem, certificate, trust);
  if (fields === undefined) return undefined;
  if (fields.keyUsage?.includes("digitalSignature") === false) {
    yield problem(pem, "keyUsage", { what: "does not allow digitalSignature", remedy: issueAgain });
  }
  for (const intermediate of intermediates) yield* sound(pem, intermediate, trust);
  const roots = trust.authorities;
  if (roots.length > 0) {
    const found = chainProblem(certificate, { ...trust, intermediates, roots });
    if (found !== undefined)
      yield problem(pem, found.field, { what: found.what, remedy: "reissue it with this cluster's CA" });
  }
  return { certificate, intermediates };
}

/**
 * Checks the authority's own certificates. The first certificate is used for signing. While a CA is being replaced, the
 * file also contains the other CA. The other CA may expire without harm.
 */
export function* authoritiesIn(pem: Pem, trust: Pick<Trust, "now" | "fieldsOf">): Findings<readonly X509Certificate[]> {
  const { value, problem: what } = certificatesIn(pem.content);
  if (value === undefined) {
    yield* unreadablePem(pem, what);
    return [];
  }
  for (const authority of value) {
    const dates = validity(pem, authority, trust.now);
    yield* isSpare(authority, value) ? expiryAsWarning(pem, dates) : dates;
    const fields = yield* sound(pem, authority, trust);
    const why = fields === undefined ? undefined : notAuthority(fields);
    if (why === undefined) continue;
    const field = why.includes("keyCertSign") ? "keyUsage" : "basicConstraints";
    yield problem(pem, field, { what: why, remedy: field === "keyUsage" ? issueAgain : "use the ca.pem from lab 04" });
  }
  return value;
}

/** Whether the authority is neither the first certificate nor the issuer of another certificate. */
function isSpare(authority: X509Certificate, all: readonly X509Certificate[]): boolean {
  const hasIssued = all.some(
    (one) => one !== authority && one.checkIssued(authority) && one.verify(authority.publicKey),
  );
  return authority !== all[0] && !hasIssued;
}

function* expiryAsWarning(pem: Pem, findings: Findings): Findings {
  const remedy = `remove this certificate from ${pem.file}; if a rotation of the CA is in progress, continue the rotation instead: khw-client pki rotate-${pem.file.replace(/\.pem$/, "")}`;
  for (const found of findings)
    yield found.field?.endsWith("notAfter") === true ? { ...found, remedy, severity: "warning" } : found;
}

/**
 * Checks that every chain in the file ends at a root in the same file. Go accepts a chain that ends at an intermediate
 * CA. nginx and the agents' probes use OpenSSL, which requires a self-signed certificate at the end.
 */
export function* endsAtRoots(pem: Pem, authorities: readonly X509Certificate[]): Findings {
  for (const authority of authorities) {
    if (authorities.some((issuer) => authority.checkIssued(issuer) && authority.verify(issuer.publicKey))) continue;
    const issuer = nameOnOneLine(authority.issuer);
    const what = `has no root certificate: a certificate in the file was issued by ${issuer}, and nginx and the agents verify the chain up to a root`;
    const remedy =
      "put the root into ca.pem, and append the intermediate certificate to each certificate that it issued";
    yield problem(pem, undefined, { what, remedy });
  }
}

/** Checks the key, and whether it belongs to the certificate. */
export function* keyIn(
  pem: Pem,
  certificate: X509Certificate | undefined,
  of: string,
): Findings<KeyObject | undefined> {
  const { value: key, problem: what, remedy } = privateKeyIn(pem.content);
  if (key === undefined) {
    yield problem(pem, undefined, { what, remedy: remedy?.replaceAll("FILE", pem.file) ?? makeAgain });
    return undefined;
  }
  if (certificate !== undefined && !isPair(key, certificate.publicKey)) {
    yield problem(pem, undefined, {
      what: `is not the key of ${of}`,
      remedy: "use the certificate and the key that were issued together",
    });
  }
  return key;
}

/**
 * Checks that the subject has the Common Name and the Organization that Kubernetes expects. If there are several Common
 * Names, Go uses the last one.
 */
export function* subjectIs(pem: Pem, certificate: X509Certificate, wanted: { CN?: string; O?: string }): Findings {
  const subject = subjectOf(certificate);
  for (const [attribute, value] of Object.entries(wanted)) {
    const values = subject[attribute] ?? [];
    const fits = attribute === "CN" ? values.at(-1) === value : values.includes(value);
    if (fits) continue;
    const last = attribute === "CN" && values.length > 1 ? " (Kubernetes uses the last)" : "";
    const what =
      values.length === 0 ? `is missing and must be ${value}` : `is ${values.join(" and ")}, not ${value}${last}`;
    yield problem(pem, `subject.${attribute}`, { what, remedy: issueAgain });
  }
}

/** Checks that neither the certificate nor any of its issuers forbids the given usages. */
export function* usable(
  pem: Pem,
  { certificate, intermediates }: Presented,
  { usages, roots }: { readonly usages: readonly Usage[]; readonly roots: readonly X509Certificate[] },
): Findings {
  for (const usage of usages) {
    const found = usageProblem(certificate, usage, { intermediates, roots });
    if (found !== undefined) yield problem(pem, found.field, { what: found.what, remedy: issueAgain });
  }
}

export interface WantedName {
  /** An IP address or a DNS name. */
  readonly name: string;
  readonly whose: string;
  /** Whether the API server itself listens on this name or address. */
  readonly controller?: boolean;
}

/** Checks that the certificate is valid for all required names and addresses. */
export function* validFor(pem: Pem, certificate: X509Certificate, wanted: readonly WantedName[]): Findings {
  const missing = wanted.filter(({ name }) => !covers(certificate, name));
  if (missing.length === 0) return;
  const names = missing.map(({ name, whose }) => `${name} (${whose})`).join(", ");
  const hostnames = missing.map(({ name }) => name).join(",");
  yield problem(pem, "subjectAltName", {
    what: `lacks ${names}`,
    remedy: `${issueAgain}, with ${hostnames} in -hostname`,
  });
}

export function covers(certificate: X509Certificate, name: string): boolean {
  const found = isIP(name) === 0 ? certificate.checkHost(name, { subject: "never" }) : certificate.checkIP(name);
  return found !== undefined;
}

function* validity(pem: Pem, { validFromDate, validToDate }: X509Certificate, now: Date): Findings {
  if (now > validToDate)
    yield problem(pem, "notAfter", { what: `expired on ${validToDate.toISOString()}`, remedy: issueAgain });
  if (now < validFromDate) {
    const what = `is not valid before ${validFromDate.toISOString()}, and this machine's clock says ${now.toISOString()}`;
    yield problem(pem, "notBefore", { what, remedy: `fix this machine's clock, or ${issueAgain}` });
  }
  const left = validToDate.getTime() - now.getTime();
  if (left >= 0 && left <= soon) {
    const what = `expires in ${Math.floor(left / dayMillis)} days, on ${validToDate.toISOString()}`;
    yield { ...problem(pem, "notAfter", { what, remedy: issueAgain }), severity: "warning" };
  }
}

/** Checks that Go and OpenSSL both accept the structure, the key, the signature and the extensions. */
function* sound(
  pem: Pem,
  certificate: X509Certificate,
  { fieldsOf }: Pick<Trust, "fieldsOf">,
): Findings<X509Fields | undefined> {
  const fields = fieldsOf(certificate);
  const key = publicKeyOf(certificate);
  if (fields === undefined || key === undefined) {
    const what = fields === undefined ? "has a structure that cannot be read" : "is of a kind that cannot be read";
    yield problem(pem, fields === undefined ? undefined : "publicKey", { what, remedy: issueAgain });
    return undefined;
  }
  const keyFault = encodingProblem(fields.publicKey, key, "tls");
  if (keyFault !== undefined) yield problem(pem, "publicKey", { what: keyFault, remedy: issueAgain });
  // A root is trusted as it is, so no program verifies its signature.
  const root = fields.subject.equals(fields.issuer);
  if (fields.signature.name === undefined && !root) {
    const name = refusedName(fields.signature.oid);
    const what = name.startsWith("SHA-1")
      ? "is SHA-1, which current TLS does not accept"
      : `is ${name}, which Kubernetes does not accept`;
    yield problem(pem, "signatureAlgorithm", { what, remedy: issueAgain });
  }
  if (fields.negativeSerial)
    yield problem(pem, "serialNumber", { what: "is negative, which Go rejects", remedy: issueAgain });
  if (fields.illegalText !== undefined) {
    yield problem(pem, "subject", { what: `contains ${fields.illegalText}, which Go rejects`, remedy: issueAgain });
  }
  for (const what of extensionProblems(fields)) yield problem(pem, "extensions", { what, remedy: issueAgain });
  return fields;
}

/** Returns the certificate's public key; undefined if OpenSSL cannot read the key. */
export function publicKeyOf(certificate: X509Certificate): KeyObject | undefined {
  try {
    return certificate.publicKey;
  } catch {
    // OpenSSL's error message is not useful. The finding already names the file and the field.
    return undefined;
  }
}

/** Whether any certificate in the first list has the same key as any certificate in the second list. */
export function sharesKey(certificates: readonly X509Certificate[], others: readonly X509Certificate[]): boolean {
  const keys = others.flatMap((other) => publicKeyOf(other) ?? []);
  return certificates.some((one) => {
    const own = publicKeyOf(one);
    return own !== undefined && keys.some((key) => key.equals(own));
  });
}

function* unreadablePem(pem: Pem, what: string): Findings<undefined> {
  yield problem(pem, undefined, { what, remedy: makeAgain });
  return undefined;
}

export function problem(
  pem: Pem,
  field: string | undefined,
  { what, remedy }: { readonly what: string; readonly remedy: string },
): Problem {
  const fields = [pem.field, field].filter((part) => part !== undefined && part !== "").join(": ");
  return fields === "" ? { file: pem.file, what, remedy } : { file: pem.file, field: fields, what, remedy };
}
