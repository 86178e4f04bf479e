import type { X509Certificate } from "node:crypto";
import { AsnConvert } from "@peculiar/asn1-schema";
import {
  BasicConstraints,
  Certificate,
  type Extension,
  id_ce_basicConstraints,
  id_ce_keyUsage,
  id_ce_nameConstraints,
  id_ce_subjectAltName,
  KeyUsage,
  type Name,
  NameConstraints,
  SubjectAlternativeName,
  type SubjectPublicKeyInfo,
} from "@peculiar/asn1-x509";
import { signatureName } from "./signature-algorithms.ts";

/** The certificate fields that the X509Certificate class of Node.js lacks. */
export interface X509Fields {
  /** The X.509 version: 1, 2 or 3. */
  readonly version: number;
  readonly negativeSerial: boolean;
  /**
   * The allowed uses of the key, for example "digitalSignature"; undefined if the certificate does not restrict the use
   * of its key.
   */
  readonly keyUsage: readonly string[] | undefined;
  /** The basic constraints; undefined if the certificate has none. */
  readonly constraints: { readonly authority: boolean; readonly pathLength: number | undefined } | undefined;
  readonly signature: { readonly oid: string; readonly name: string | undefined };
  readonly publicKey: SubjectPublicKeyInfo;
  readonly extensions: readonly { readonly oid: string; readonly critical: boolean }[];
  readonly names: SubjectAlternativeName | undefined;
  readonly nameConstraints: NameConstraints | undefined;
  /** The subject and the issuer in encoded form, because Go compares them byte for byte. */
  readonly subject: Buffer;
  readonly issuer: Buffer;
  /** A description of the text that Go rejects in the subject or the issuer. */
  readonly illegalText: string | undefined;
}

/** Reads a certificate's fields. Returns undefined if the certificate's structure is damaged. */
export type FieldsReader = (certificate: X509Certificate) => X509Fields | undefined;

/**
 * Creates a reader that decodes each certificate only once, because a cluster's files contain the same CA many times.
 */
export function createFieldsReader(): FieldsReader {
  const known = new Map<string, X509Fields | undefined>();
  return ({ raw }) => {
    const bytes = raw.toString("latin1");
    if (!known.has(bytes)) known.set(bytes, fieldsIn(raw));
    return known.get(bytes);
  };
}

function fieldsIn(raw: Uint8Array): X509Fields | undefined {
  try {
    return readX509Fields(raw);
  } catch {
    // The error's message describes only ASN.1 details; the caller names the file.
    return undefined;
  }
}

function readX509Fields(raw: Uint8Array): X509Fields {
  const { tbsCertificate: tbs, signatureAlgorithm } = AsnConvert.parse(raw, Certificate);
  const extensions: readonly Extension[] = tbs.extensions ?? [];
  const valueOf = (oid: string): ArrayBuffer | undefined =>
    extensions.find(({ extnID }) => extnID === oid)?.extnValue.buffer;
  const [usage, constraints] = [valueOf(id_ce_keyUsage), valueOf(id_ce_basicConstraints)];
  const [names, nameConstraints] = [valueOf(id_ce_subjectAltName), valueOf(id_ce_nameConstraints)];
  return {
    version: tbs.version + 1,
    negativeSerial: ((new Uint8Array(tbs.serialNumber)[0] ?? 0) & 0x80) !== 0,
    keyUsage: usage === undefined ? undefined : AsnConvert.parse(usage, KeyUsage).toJSON(),
    constraints: constraints === undefined ? undefined : constraintsIn(AsnConvert.parse(constraints, BasicConstraints)),
    signature: { oid: signatureAlgorithm.algorithm, name: signatureName(signatureAlgorithm) },
    publicKey: tbs.subjectPublicKeyInfo,
    extensions: extensions.map(({ extnID, critical }) => ({ oid: extnID, critical })),
    names: names === undefined ? undefined : AsnConvert.parse(names, SubjectAlternativeName),
    nameConstraints: nameConstraints === undefined ? undefined : AsnConvert.parse(nameConstraints, NameConstraints),
    subject: Buffer.from(AsnConvert.serialize(tbs.subject)),
    issuer: Buffer.from(AsnConvert.serialize(tbs.issuer)),
    illegalText: illegalTextIn(tbs.subject) ?? illegalTextIn(tbs.issuer),
  };
}

function constraintsIn({ cA, pathLenConstraint }: BasicConstraints): NonNullable<X509Fields["constraints"]> {
  return { authority: cA, pathLength: pathLenConstraint };
}

/**
 * Describes the first text with characters that its ASN.1 type does not allow, for example "a_b" as a PrintableString.
 * Go rejects this text, but OpenSSL accepts it.
 */
function illegalTextIn(name: Name): string | undefined {
  for (const { value } of name.flat()) {
    if (value.universalString !== undefined) return "a UniversalString";
    const { printableString: text } = value;
    if (text !== undefined && !/^[A-Za-z0-9 '()+,\-./:=?*&]*$/.test(text))
      return "a PrintableString with invalid characters";
  }
  return undefined;
}
