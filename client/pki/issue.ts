import { createPrivateKey, KeyObject, webcrypto, X509Certificate } from "node:crypto";
import type * as X509 from "@peculiar/x509";
import { KhwError } from "../../proto/errors.ts";
import { organizations } from "../../proto/roles.ts";
import type { Role } from "../../proto/roles.ts";
import { loadX509 } from "./x509.ts";

/** A certificate and its private key, both in PEM; the key as PKCS #8. */
export interface Identity {
  readonly certificate: string;
  readonly key: string;
}

export interface Request {
  /** Common Name; an agent's is its instance's name and stands in the certificate as DNS name too. */
  readonly name: string;
  readonly role: Role;
  /** How long it is valid, from now. */
  readonly days: number;
}

export const authorityDays = 3650;
export const identityDays = 365;

const algorithm = { name: "ECDSA", namedCurve: "P-256", hash: "SHA-256" };
const day = 86_400_000;
/** A certificate is good at once on a machine whose clock is behind by less than this. */
const clockSkew = 5 * 60_000;

/** A new management CA: it signs identities of its own, never another CA. */
export async function createAuthority(now: Date): Promise<Identity> {
  const x509 = await loadX509();
  const keys = await generateKeys();
  const certificate = await x509.X509CertificateGenerator.createSelfSigned({
    name: [{ CN: ["khw management CA"] }, { O: ["khw"] }],
    ...validity(now, authorityDays),
    keys,
    signingAlgorithm: algorithm,
    extensions: [
      new x509.BasicConstraintsExtension(true, 0, true),
      new x509.KeyUsagesExtension(x509.KeyUsageFlags.keyCertSign | x509.KeyUsageFlags.cRLSign, true),
      await x509.SubjectKeyIdentifierExtension.create(keys.publicKey),
    ],
  });
  return toPem(certificate, keys.privateKey);
}

/**
 * A new key and its certificate, signed by the management CA. A person's certificate is good for calling agents only, an
 * agent's for being called only, so that a stolen node cannot command the others. Throws INVALID_ARGUMENT when it would outlive
 * the CA.
 */
export async function issue(authority: Identity, request: Request, now: Date): Promise<Identity> {
  const keys = await generateKeys();
  return toPem(await sign(authority, { ...request, publicKey: keys.publicKey }, now), keys.privateKey);
}

/** The certificate of a key that is elsewhere, in PEM: as `issue` makes it. @throws KhwError as `issue` */
export async function issueFor(
  publicKey: webcrypto.CryptoKey,
  { authority, request, now }: { readonly authority: Identity; readonly request: Request; readonly now: Date },
): Promise<string> {
  return certificatePem(await sign(authority, { ...request, publicKey }, now));
}

async function sign(
  authority: Identity,
  request: Request & { readonly publicKey: webcrypto.CryptoKey },
  now: Date,
): Promise<X509.X509Certificate> {
  const x509 = await loadX509();
  const issuer = new x509.X509Certificate(authority.certificate);
  const { notBefore, notAfter } = validity(now, request.days);
  if (notAfter > issuer.notAfter) {
    throw new KhwError(
      "INVALID_ARGUMENT",
      `--days: ${request.days} days is longer than the management CA is valid itself`,
      {
        hint: `it ends on ${date(issuer.notAfter)}`,
      },
    );
  }
  const usage = request.role === "agent" ? x509.ExtendedKeyUsage.serverAuth : x509.ExtendedKeyUsage.clientAuth;
  return x509.X509CertificateGenerator.create({
    subject: [{ CN: [request.name] }, { O: [organizations[request.role]] }],
    issuer: issuer.subjectName,
    notBefore,
    notAfter,
    publicKey: request.publicKey,
    signingKey: await importSigningKey(authority.key),
    signingAlgorithm: algorithm,
    extensions: [
      new x509.BasicConstraintsExtension(false, undefined, true),
      new x509.KeyUsagesExtension(x509.KeyUsageFlags.digitalSignature, true),
      new x509.ExtendedKeyUsageExtension([usage]),
      ...(request.role === "agent"
        ? [new x509.SubjectAlternativeNameExtension([{ type: "dns", value: request.name }])]
        : []),
      await x509.SubjectKeyIdentifierExtension.create(request.publicKey),
      await x509.AuthorityKeyIdentifierExtension.create(issuer.publicKey),
    ],
  });
}

/** `CN=controller-0, O=khw:agent, valid until 2027-01-31`: what people are told about a certificate. */
export function describe(certificate: string): string {
  const parsed = new X509Certificate(certificate);
  return `${parsed.subject.replaceAll("\n", ", ")}, valid until ${date(parsed.validToDate)}`;
}

/** The calendar day in UTC. */
export function date(time: Date): string {
  return time.toISOString().slice(0, 10);
}

function validity(now: Date, days: number): { readonly notBefore: Date; readonly notAfter: Date } {
  return { notBefore: new Date(now.getTime() - clockSkew), notAfter: new Date(now.getTime() + days * day) };
}

async function generateKeys(): Promise<webcrypto.CryptoKeyPair> {
  return webcrypto.subtle.generateKey(algorithm, true, ["sign", "verify"]);
}

async function importSigningKey(pem: string): Promise<webcrypto.CryptoKey> {
  const der = createPrivateKey(pem).export({ type: "pkcs8", format: "der" });
  return webcrypto.subtle.importKey("pkcs8", new Uint8Array(der), algorithm, false, ["sign"]);
}

function certificatePem(certificate: X509.X509Certificate): string {
  return `${certificate.toString("pem").trimEnd()}\n`;
}

function toPem(certificate: X509.X509Certificate, key: webcrypto.CryptoKey): Identity {
  return {
    certificate: certificatePem(certificate),
    key: KeyObject.from(key).export({ type: "pkcs8", format: "pem" }).toString(),
  };
}
