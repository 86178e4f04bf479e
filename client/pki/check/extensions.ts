import { comparable } from "./name-constraints.ts";
import type { X509Fields } from "./x509-fields.ts";

/** The extensions that may be critical, because both Go and OpenSSL handle them. */
const handled: Readonly<Record<string, string>> = {
  "2.5.29.15": "keyUsage",
  "2.5.29.17": "subjectAltName",
  "2.5.29.19": "basicConstraints",
  "2.5.29.30": "nameConstraints",
  "2.5.29.31": "cRLDistributionPoints",
  "2.5.29.32": "certificatePolicies",
  "2.5.29.37": "extendedKeyUsage",
};

/**
 * The extensions that must not be critical, because newer Go releases reject certificates that mark them as critical.
 */
const neverCritical: Readonly<Record<string, string>> = {
  "2.5.29.14": "subjectKeyIdentifier",
  "2.5.29.35": "authorityKeyIdentifier",
  "1.3.6.1.5.5.7.1.1": "authorityInfoAccess",
};

/** Returns the faults that Go would find in a certificate's extensions. */
export function extensionProblems({ extensions, nameConstraints }: X509Fields): string[] {
  const critical = extensions.filter((extension) => extension.critical);
  const unknown = critical.filter(({ oid }) => handled[oid] === undefined && neverCritical[oid] === undefined);
  const oids = extensions.map(({ oid }) => oid);
  const double = oids.find((oid, index) => oids.indexOf(oid) !== index);
  const constrained = critical.some(({ oid }) => handled[oid] === "nameConstraints");
  return [
    ...unknown.map(({ oid }) => `include a critical extension that Go does not handle: ${oid}`),
    ...critical.flatMap(({ oid }) =>
      neverCritical[oid] === undefined ? [] : [`mark ${neverCritical[oid]} as critical, which Go rejects`],
    ),
    ...(double === undefined ? [] : [`include ${double} twice`]),
    ...(constrained && nameConstraints !== undefined && !comparable(nameConstraints)
      ? ["include nameConstraints of a kind that Go does not support"]
      : []),
  ];
}
