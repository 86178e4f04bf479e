import { createPublicKey } from "node:crypto";
import { AsnConvert } from "@peculiar/asn1-schema";
import { type GeneralName, SubjectAlternativeName, SubjectPublicKeyInfo } from "@peculiar/asn1-x509";
import { encodingProblem } from "../pki/check/key-kinds.ts";
import { loadX509 } from "../pki/x509.ts";

/** The contents of a signing request (PKCS #10). */
export interface RequestContents {
  /** The attributes of the subject, in order, for example ["O", "system:nodes"]. */
  readonly subject: readonly (readonly [attribute: string, value: string])[];
  readonly dnsNames: readonly string[];
  readonly addresses: readonly string[];
  /** The public key as SubjectPublicKeyInfo, in DER. */
  readonly spki: Buffer;
  /** The faults in the request itself. */
  readonly problems: readonly string[];
}

/**
 * Matches a single PEM block without headers. If there are several blocks, Go reads only the first; other text could
 * hide that block.
 */
const oneBlock = /^-----BEGIN CERTIFICATE REQUEST-----\n([A-Za-z0-9+/=\n]+)-----END CERTIFICATE REQUEST-----\n?$/;
const extensionRequest = "1.2.840.113549.1.9.14";
const subjectAltName = "2.5.29.17";
const weakHashes: ReadonlySet<unknown> = new Set(["SHA-1", "MD5"]);

/**
 * Reads a request and checks everything that can be checked without its context: encoding, signature, key and
 * extensions. If the request cannot be read, returns the reason as text.
 */
export async function readContents(pem: string): Promise<RequestContents | string> {
  const [, body] = oneBlock.exec(pem) ?? [];
  if (body === undefined) return "it is not a single PEM block of the type CERTIFICATE REQUEST";
  try {
    return await contentsOf(Buffer.from(body, "base64"));
  } catch {
    // The library's messages describe ASN.1 details, and can quote the request.
    return "its encoding is damaged";
  }
}

async function contentsOf(der: Buffer): Promise<RequestContents | string> {
  if (!isWhole(der)) return "its encoding is damaged";
  const x509 = await loadX509();
  const request = new x509.Pkcs10CertificateRequest(der);
  const spki = Buffer.from(request.publicKey.rawData);
  const names = alternativeNames(request);
  const dnsNames = names.flatMap(({ dNSName }) => dNSName ?? []);
  const addresses = names.flatMap(({ iPAddress }) => iPAddress ?? []);
  const weakKey = encodingProblem(
    AsnConvert.parse(spki, SubjectPublicKeyInfo),
    createPublicKey({ key: spki, format: "der", type: "spki" }),
    "tls",
  );
  const { attributes } = request;
  /** Ed25519 has no separate hash. */
  const signature: { readonly hash?: { readonly name: string } } = request.signatureAlgorithm;
  const sound = await request.verify().catch(() => false);
  return {
    subject: request.subjectName
      .toJSON()
      .flatMap((part) =>
        Object.entries(part).flatMap(([type, values]) => values.map((value) => [type, value] as const)),
      ),
    dnsNames,
    addresses,
    spki,
    problems: [
      ...(sound ? [] : ["it is not signed with its own key"]),
      ...(weakHashes.has(signature.hash?.name) ? ["its signature uses a weak hash"] : []),
      ...(weakKey === undefined ? [] : [`its key ${weakKey}`]),
      ...(attributes.length === 1 && attributes[0]?.type === extensionRequest && attributes[0].values.length === 1
        ? []
        : ["it does not have exactly one attribute, the list of extensions"]),
      ...(request.extensions.length === 1 && request.extensions[0]?.type === subjectAltName
        ? []
        : ["it requests extensions other than one subjectAltName"]),
      ...(names.length === dnsNames.length + addresses.length
        ? []
        : ["it requests alternative names that are neither DNS names nor addresses"]),
      ...(names.length === 0 ? ["it requests no alternative name"] : []),
    ],
  };
}

/** Whether the bytes are exactly one DER sequence. The library ignores bytes after the sequence. */
function isWhole(der: Buffer): boolean {
  const [tag, first = 0] = der;
  const more = first < 0x80 ? 0 : first & 0x7f;
  if (tag !== 0x30 || more > 4 || der.length < 2 + more) return false;
  return der.length === 2 + more + (more === 0 ? first : der.readUIntBE(2, more));
}

interface Extensions {
  readonly extensions: readonly { readonly type: string; readonly value: ArrayBuffer }[];
}

function alternativeNames({ extensions }: Extensions): readonly GeneralName[] {
  return extensions
    .filter(({ type }) => type === subjectAltName)
    .flatMap(({ value }) => [...AsnConvert.parse(value, SubjectAlternativeName)]);
}
