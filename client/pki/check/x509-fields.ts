import type { X509Certificate } from "node:crypto";
import { AsnConvert, type OctetString } from "@peculiar/asn1-schema";
import { BasicConstraints, Certificate, id_ce_basicConstraints, id_ce_keyUsage, KeyUsage } from "@peculiar/asn1-x509";

/** What Node's own X509Certificate does not tell. */
export interface X509Fields {
  /** For example "digitalSignature"; undefined for a certificate that does not restrict its key's use. */
  readonly keyUsage: readonly string[] | undefined;
  /** It says that it is an authority's; Node says so only where its key may sign, too. */
  readonly authority: boolean;
  /** The OID of what it was signed with. */
  readonly signatureAlgorithm: string;
}

export function fieldsOf({ raw }: X509Certificate): X509Fields {
  const { tbsCertificate, signatureAlgorithm } = AsnConvert.parse(raw, Certificate);
  const valueOf = (oid: string): OctetString | undefined =>
    tbsCertificate.extensions?.find(({ extnID }) => extnID === oid)?.extnValue;
  const [usage, constraints] = [valueOf(id_ce_keyUsage), valueOf(id_ce_basicConstraints)];
  return {
    keyUsage: usage === undefined ? undefined : AsnConvert.parse(usage, KeyUsage).toJSON(),
    authority: constraints !== undefined && AsnConvert.parse(constraints, BasicConstraints).cA,
    signatureAlgorithm: signatureAlgorithm.algorithm,
  };
}
