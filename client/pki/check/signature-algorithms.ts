import type { AlgorithmIdentifier } from "@peculiar/asn1-x509";

/** The certificate signature algorithms that every Go release since 1.13 can verify, by their object identifiers. */
const accepted: Readonly<Record<string, string>> = {
  "1.2.840.113549.1.1.11": "SHA256-RSA",
  "1.2.840.113549.1.1.12": "SHA384-RSA",
  "1.2.840.113549.1.1.13": "SHA512-RSA",
  "1.2.840.10045.4.3.2": "ECDSA-SHA256",
  "1.2.840.10045.4.3.3": "ECDSA-SHA384",
  "1.2.840.10045.4.3.4": "ECDSA-SHA512",
  "1.3.101.112": "Ed25519",
};

/** The names of common algorithms that Go rejects. Go has rejected SHA-1 since release 1.18. */
const refused: Readonly<Record<string, string>> = {
  "1.2.840.113549.1.1.2": "MD2-RSA",
  "1.2.840.113549.1.1.3": "MD4-RSA",
  "1.2.840.113549.1.1.4": "MD5-RSA",
  "1.2.840.113549.1.1.5": "SHA-1 with RSA",
  "1.2.840.113549.1.1.14": "SHA224-RSA",
  "1.2.840.10045.4.1": "SHA-1 with ECDSA",
  "1.2.840.10045.4.3.1": "ECDSA-SHA224",
  "1.2.840.10040.4.3": "SHA-1 with DSA",
  "2.16.840.1.101.3.4.3.2": "DSA-SHA256",
  "1.3.101.113": "Ed448",
};

const pss = "1.2.840.113549.1.1.10";

/** Returns the name of a signature algorithm that Go supports; undefined for any other algorithm. */
export function signatureName({ algorithm, parameters }: AlgorithmIdentifier): string | undefined {
  if (algorithm !== pss) return accepted[algorithm];
  const encoded = parametersOf(parameters);
  return pssHashes.find(([, ...forms]) => forms.includes(encoded))?.[0];
}

/** Returns the name of an algorithm that Go does not support, for error messages. */
export function refusedName(oid: string): string {
  return oid === pss ? "RSA-PSS with parameters that Go does not accept" : (refused[oid] ?? `the algorithm ${oid}`);
}

/** The RSA-PSS parameters that Go accepts: all of them use the same hash, and the salt is as long as the hash. */
const pssHashes = (["01", "02", "03"] as const).map((hash, index) => {
  const name = ["SHA256-RSAPSS", "SHA384-RSAPSS", "SHA512-RSAPSS"][index] ?? "";
  const oid = `06096086480165030402${hash}`;
  const forms = ["0500", ""].flatMap((outer) =>
    ["0500", ""].map((inner) => {
      const mask = sequence(`06092a864886f70d010108${sequence(`${oid}${inner}`)}`);
      const salt = `0201${[32, 48, 64][index]?.toString(16) ?? ""}`;
      return sequence(`${tagged("a0", sequence(`${oid}${outer}`))}${tagged("a1", mask)}${tagged("a2", salt)}`);
    }),
  );
  return [name, ...forms] as const;
});

function sequence(hex: string): string {
  return tagged("30", hex);
}

/** Returns a DER value in hex. The contents must be shorter than 128 bytes. */
function tagged(tag: string, hex: string): string {
  return `${tag}${(hex.length / 2).toString(16).padStart(2, "0")}${hex}`;
}

/**
 * Returns the DER of an algorithm's parameters in hex; an empty string if there are no parameters. The library
 * represents ASN.1 NULL as null.
 */
export function parametersOf(parameters: AlgorithmIdentifier["parameters"]): string {
  if (parameters === undefined) return "";
  return parameters === null ? "0500" : Buffer.from(parameters).toString("hex");
}
