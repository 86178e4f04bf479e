import type { KeyObject, X509Certificate } from "node:crypto";
import { isIP } from "node:net";
import { isPair, readCertificates, readPrivateKey } from "./pem.ts";
import type { Findings, Problem } from "./problem.ts";
import { fieldsOf } from "./x509-fields.ts";

/** PEM, and how errors name it: a file of its own, or a field of a kubeconfig. */
export interface Pem {
  readonly file: string;
  readonly field?: string;
  readonly content: Uint8Array;
}

/** What all checks of certificates are made against. */
export interface Trust {
  /** The certificates of ca.pem; empty when it cannot be read, and then nothing is said about issuers. */
  readonly authorities: readonly X509Certificate[];
  readonly now: Date;
}

const issueAgain = "issue it again: khw-client pki create --renew, or as in lab 04";
const day = 86_400_000;
/** A certificate that ends sooner is told of. */
const soon = 30 * day;
/** OpenSSL, in nginx, and Go take no shorter key, or will not for long. */
const smallestRsa = 2048;
/** RSA and ECDSA with SHA-1: Go since 1.18 takes no certificate for good that was signed so. */
const sha1: ReadonlySet<string> = new Set(["1.2.840.113549.1.1.5", "1.2.840.10045.4.1"]);

/** The certificate, valid now, issued by the cluster's CA, and fit for TLS. */
export function* certificateIn(pem: Pem, trust: Trust): Findings<X509Certificate | undefined> {
  const [certificate] = readCertificates(pem.content);
  if (certificate === undefined) return yield* unreadable(pem, "is no certificate in PEM");
  yield* validity(pem, certificate, trust.now);
  yield* strength(pem, certificate);
  yield* keyUsageAllows(pem, certificate, "digitalSignature");
  const issued = trust.authorities.some((ca) => certificate.checkIssued(ca) && certificate.verify(ca.publicKey));
  if (!issued && trust.authorities.length > 0) {
    yield problem(pem, "issuer", "was not issued by the CA in ca.pem", "issue it again with this cluster's CA");
  }
  return certificate;
}

/** The certificates of the authority itself. */
export function* authoritiesIn(pem: Pem, now: Date): Findings<readonly X509Certificate[]> {
  const authorities = readCertificates(pem.content);
  const [first] = authorities;
  if (first === undefined) yield* unreadable(pem, "is no certificate in PEM");
  else {
    yield* validity(pem, first, now);
    yield* strength(pem, first);
    if (fieldsOf(first).authority) yield* keyUsageAllows(pem, first, "keyCertSign");
    else yield problem(pem, "basicConstraints", "is not a CA's certificate", "take the ca.pem of lab 04");
  }
  return authorities;
}

/** The key, and that it is the certificate's. */
export function* keyIn(
  pem: Pem,
  certificate: X509Certificate | undefined,
  of: string,
): Findings<KeyObject | undefined> {
  const key = readPrivateKey(pem.content);
  if (key === undefined) return yield* unreadable(pem, "is no unencrypted private key in PEM");
  if (certificate !== undefined && !isPair(key, certificate.publicKey)) {
    yield problem(pem, undefined, `is not the key of ${of}`, "take both from the same issue");
  }
  return key;
}

/** The subject's Common Name, and an Organization among its own, are those that Kubernetes knows the holder by. */
export function* subjectIs(pem: Pem, certificate: X509Certificate, wanted: { CN?: string; O?: string }): Findings {
  const subject = certificate.toLegacyObject().subject;
  for (const [attribute, value] of Object.entries(wanted)) {
    const found: unknown = Reflect.get(subject, attribute);
    const values: readonly unknown[] = Array.isArray(found) ? found : [found];
    if (values.includes(value)) continue;
    const what =
      found === undefined ? `has none, not ${value}` : `is ${values.map(String).join(" and ")}, not ${value}`;
    yield problem(pem, `subject.${attribute}`, what, issueAgain);
  }
}

const usages = { serverAuth: "1.3.6.1.5.5.7.3.1", clientAuth: "1.3.6.1.5.5.7.3.2" } as const;

/** A certificate that restricts its use allows these. */
export function* usable(pem: Pem, certificate: X509Certificate, wanted: readonly (keyof typeof usages)[]): Findings {
  // Node's types call it a list of strings always; a certificate without the extension has none.
  const allowed: readonly string[] | undefined = certificate.keyUsage;
  for (const usage of wanted) {
    if (allowed === undefined || allowed.includes(usages[usage])) continue;
    yield problem(pem, "extendedKeyUsage", `does not allow ${usage}`, issueAgain);
  }
}

export interface WantedName {
  /** An IP address or a DNS name. */
  readonly name: string;
  readonly whose: string;
}

/** The certificate is valid for every one of the names. */
export function* validFor(pem: Pem, certificate: X509Certificate, wanted: readonly WantedName[]): Findings {
  const missing = wanted.filter(({ name }) => !covers(certificate, name));
  if (missing.length === 0) return;
  const names = missing.map(({ name, whose }) => `${name} (${whose})`).join(", ");
  const hostnames = missing.map(({ name }) => name).join(",");
  yield problem(pem, "subjectAltName", `lacks ${names}`, `${issueAgain}, with ${hostnames} in -hostname`);
}

export function covers(certificate: X509Certificate, name: string): boolean {
  const found = isIP(name) === 0 ? certificate.checkHost(name, { subject: "never" }) : certificate.checkIP(name);
  return found !== undefined;
}

function* validity(pem: Pem, { validFromDate, validToDate }: X509Certificate, now: Date): Findings {
  if (now > validToDate) yield problem(pem, "notAfter", `expired on ${validToDate.toISOString()}`, issueAgain);
  if (now < validFromDate) {
    const what = `is not valid before ${validFromDate.toISOString()}, and here it is ${now.toISOString()}`;
    yield problem(pem, "notBefore", what, `set this machine's clock, or ${issueAgain}`);
  }
  const left = validToDate.getTime() - now.getTime();
  if (left >= 0 && left <= soon) {
    const what = `ends in ${Math.floor(left / day)} days, on ${validToDate.toISOString()}`;
    yield { ...problem(pem, "notAfter", what, issueAgain), severity: "warning" };
  }
}

function* strength(pem: Pem, certificate: X509Certificate): Findings {
  const bits = certificate.publicKey.asymmetricKeyDetails?.modulusLength;
  if (bits !== undefined && bits < smallestRsa) {
    yield problem(pem, "publicKey", `is RSA of ${bits} bits, fewer than ${smallestRsa}`, issueAgain);
  }
  if (sha1.has(fieldsOf(certificate).signatureAlgorithm)) {
    yield problem(pem, "signatureAlgorithm", "is SHA-1, which no current TLS takes", issueAgain);
  }
}

/** A certificate that restricts what its key is for allows this. */
function* keyUsageAllows(pem: Pem, certificate: X509Certificate, wanted: string): Findings {
  const { keyUsage } = fieldsOf(certificate);
  if (keyUsage === undefined || keyUsage.includes(wanted)) return;
  yield problem(pem, "keyUsage", `does not allow ${wanted}`, issueAgain);
}

function* unreadable(pem: Pem, what: string): Findings<undefined> {
  yield problem(pem, undefined, what, "make it again, as in lab 04 to 06");
  return undefined;
}

function problem(pem: Pem, field: string | undefined, what: string, remedy: string): Problem {
  const fields = [pem.field, field].filter((part) => part !== undefined).join(": ");
  return fields === "" ? { file: pem.file, what, remedy } : { file: pem.file, field: fields, what, remedy };
}
