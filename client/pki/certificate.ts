import type { webcrypto } from "node:crypto";
import { isIP } from "node:net";
import type { Extension, X509Certificate } from "@peculiar/x509";
import { KhwError } from "../../proto/errors.ts";
import { exportKey, generateKeys, importPublicKey, importSigner, type KeyAlgorithm } from "./keys.ts";
import { loadX509 } from "./x509.ts";
import { dayMillis, utcDay } from "../../proto/time.ts";

/** A certificate and its private key, both in PEM. The key is in PKCS #8 format. */
export interface Identity {
  readonly certificate: string;
  readonly key: string;
}

export interface Subject {
  readonly CN: string;
  readonly O: string;
}

/** The purposes of a certificate in TLS. */
export type Usage = "serverAuth" | "clientAuth";

/** The contents of a new leaf certificate. */
export interface Leaf {
  readonly subject: Subject;
  readonly usages: readonly Usage[];
  /** The IP addresses and DNS names of the certificate's holder. */
  readonly names: readonly string[];
  /** The validity of the certificate in days, counted from now. */
  readonly days: number;
}

export interface NewAuthority {
  readonly subject: Subject;
  readonly days: number;
  readonly algorithm: KeyAlgorithm;
}

/** The time of issue, and the name that error messages use for the validity setting. */
export interface IssueContext {
  readonly now: Date;
  /** The setting's name, for example "--days". */
  readonly daysField: string;
}

/** The time by which new certificates are backdated, so that machines with slow clocks accept them at once. */
const clockSkew = 5 * 60_000;

/** Creates a CA that can sign leaf certificates, but not other CAs. */
export async function createAuthority({ subject, days, algorithm }: NewAuthority, now: Date): Promise<Identity> {
  const x509 = await loadX509();
  const keys = await generateKeys(algorithm);
  const certificate = await x509.X509CertificateGenerator.createSelfSigned({
    name: toName(subject),
    ...validity(now, days),
    keys,
    signingAlgorithm: keys.signer.algorithm,
    extensions: [
      new x509.BasicConstraintsExtension(true, 0, true),
      new x509.KeyUsagesExtension(x509.KeyUsageFlags.keyCertSign | x509.KeyUsageFlags.cRLSign, true),
      await x509.SubjectKeyIdentifierExtension.create(keys.publicKey),
    ],
  });
  return { certificate: toPem(certificate), key: exportKey(keys.privateKey) };
}

export interface IdentityRequest extends Leaf {
  readonly algorithm: KeyAlgorithm;
  /** The private key of the certificate, in PEM; if absent, a new key is created. */
  readonly key?: string | undefined;
}

/**
 * Issues a certificate for the given key, or for a new key if no key is given.
 * @throws KhwError as signCertificate does
 */
export async function issueIdentity(
  authority: Identity,
  leaf: IdentityRequest,
  context: IssueContext,
): Promise<Identity> {
  if (leaf.key !== undefined) {
    const publicKey = await importPublicKey(leaf.key);
    return { certificate: await signCertificate(authority, { ...leaf, publicKey }, context), key: leaf.key };
  }
  const keys = await generateKeys(leaf.algorithm);
  const certificate = await signCertificate(authority, { ...leaf, publicKey: keys.publicKey }, context);
  return { certificate, key: exportKey(keys.privateKey) };
}

/**
 * Signs a certificate for `publicKey`. Returns the certificate in PEM.
 * @throws KhwError INVALID_ARGUMENT if the certificate would outlive the authority; CREDENTIAL_INVALID for an authority
 * that cannot sign
 */
export async function signCertificate(
  authority: Identity,
  leaf: Leaf & { readonly publicKey: webcrypto.CryptoKey },
  { now, daysField }: IssueContext,
): Promise<string> {
  const x509 = await loadX509();
  const issuer = new x509.X509Certificate(authority.certificate);
  const { notBefore, notAfter } = validity(now, leaf.days);
  if (notAfter > issuer.notAfter) {
    throw new KhwError(
      "INVALID_ARGUMENT",
      `${daysField}: ${leaf.days} days is longer than the remaining validity of the CA`,
      {
        hint: `use fewer days; the CA expires on ${utcDay(issuer.notAfter)}`,
      },
    );
  }
  const signer = await importSigner(authority.key);
  const names = leaf.names.map((value) => ({ type: isIP(value) === 0 ? "dns" : "ip", value }) as const);
  const extensions: Extension[] = [
    new x509.BasicConstraintsExtension(false, undefined, true),
    new x509.KeyUsagesExtension(keyUsageOf(leaf.publicKey, x509.KeyUsageFlags), true),
    new x509.ExtendedKeyUsageExtension(leaf.usages.map((usage) => x509.ExtendedKeyUsage[usage])),
    ...(names.length === 0 ? [] : [new x509.SubjectAlternativeNameExtension(names)]),
    await x509.SubjectKeyIdentifierExtension.create(leaf.publicKey),
    ...authorityKeyIdentifier(issuer, x509),
  ];
  const certificate = await x509.X509CertificateGenerator.create({
    subject: toName(leaf.subject),
    issuer: issuer.subjectName,
    notBefore,
    notAfter,
    publicKey: leaf.publicKey,
    signingKey: signer.key,
    signingAlgorithm: signer.algorithm,
    extensions,
  });
  return toPem(certificate);
}

/**
 * Returns the key usages. Only RSA keys may encrypt other keys: RFC 8813 forbids this usage for elliptic-curve keys.
 */
function keyUsageOf(
  { algorithm }: webcrypto.CryptoKey,
  flags: { readonly digitalSignature: number; readonly keyEncipherment: number },
): number {
  return algorithm.name === "ECDSA" ? flags.digitalSignature : flags.digitalSignature | flags.keyEncipherment;
}

/**
 * Copies the key identifier from the CA's own certificate, because other tools may derive identifiers differently.
 */
function authorityKeyIdentifier(
  issuer: X509Certificate,
  x509: Awaited<ReturnType<typeof loadX509>>,
): readonly Extension[] {
  const own = issuer.getExtension(x509.SubjectKeyIdentifierExtension);
  return own === null ? [] : [new x509.AuthorityKeyIdentifierExtension(own.keyId)];
}

function toName({ CN, O }: Subject): { [type: string]: string[] }[] {
  return [{ CN: [CN] }, { O: [O] }];
}

function validity(now: Date, days: number): { readonly notBefore: Date; readonly notAfter: Date } {
  return { notBefore: new Date(now.getTime() - clockSkew), notAfter: new Date(now.getTime() + days * dayMillis) };
}

function toPem(certificate: { toString(format: "pem"): string }): string {
  return `${certificate.toString("pem").trimEnd()}\n`;
}
