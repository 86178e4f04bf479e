import { createPublicKey, type KeyObject } from "node:crypto";
import { AsnConvert } from "@peculiar/asn1-schema";
import { SubjectPublicKeyInfo } from "@peculiar/asn1-x509";
import { parametersOf } from "./signature-algorithms.ts";

/** The purpose of a key: TLS, or signing service account tokens. */
export type KeyPurpose = "tls" | "tokens";

const [rsa, ec, ed25519] = ["1.2.840.113549.1.1.1", "1.2.840.10045.2.1", "1.3.101.112"];

/**
 * The curves that Go's TLS and Kubernetes tokens support. Each curve is listed as its DER-encoded object identifier.
 */
const curves: ReadonlySet<string> = new Set(["06082a8648ce3d030107", "06052b81040022", "06052b81040023"]);
const allowedCurves = "P-256, P-384 or P-521";

const otherKinds: Readonly<Record<string, string>> = {
  "1.2.840.113549.1.1.10": "RSA-PSS",
  "1.2.840.10040.4.1": "DSA",
  "1.3.101.110": "X25519",
  "1.3.101.111": "X448",
  "1.3.101.113": "Ed448",
};

/**
 * The accepted lengths of RSA keys. In TLS, nginx's OpenSSL rejects certificates with shorter keys, and Go rejects
 * certificates with longer keys. For tokens, only the limits that Go 1.24 introduced apply.
 */
const rsaBits: Readonly<Record<KeyPurpose, readonly [least: number, most: number]>> = {
  tls: [2048, 8192],
  tokens: [1024, 16_384],
};
/** The largest public exponent that Go accepts. */
const largestExponent = 2n ** 31n - 1n;

/** Returns the reason why etcd and Kubernetes cannot use a key for the purpose; undefined if they can use the key. */
export function keyProblem(key: KeyObject, purpose: KeyPurpose): string | undefined {
  const publicKey = key.type === "private" ? createPublicKey(key) : key;
  const encoded = publicKey.export({ type: "spki", format: "der" });
  return encodingProblem(AsnConvert.parse(encoded, SubjectPublicKeyInfo), publicKey, purpose);
}

/**
 * Like keyProblem, but also checks how the certificate encodes the key. OpenSSL tolerates some encoding faults that Go
 * rejects.
 */
export function encodingProblem(
  { algorithm: { algorithm, parameters }, subjectPublicKey }: SubjectPublicKeyInfo,
  key: KeyObject,
  purpose: KeyPurpose,
): string | undefined {
  const encoded = parametersOf(parameters);
  if (algorithm === rsa)
    return encoded === "0500" ? rsaProblem(key, purpose) : "is RSA without the NULL parameter that Go requires";
  if (algorithm === ed25519)
    return purpose === "tls" ? undefined : `is Ed25519, which cannot sign tokens; use RSA, ${allowedCurves}`;
  if (algorithm !== ec) {
    return `is ${otherKinds[algorithm] ?? algorithm}, which Kubernetes does not accept; use RSA, ${allowedCurves}${purpose === "tls" ? ", or Ed25519" : ""}`;
  }
  if (encoded.startsWith("30"))
    return "has explicit curve parameters, which Kubernetes does not accept; use a named curve";
  if (!curves.has(encoded)) {
    return `is on ${key.asymmetricKeyDetails?.namedCurve ?? "another curve"}, which Kubernetes does not accept; use ${allowedCurves}`;
  }
  const compressed = new Uint8Array(subjectPublicKey)[0] !== 4;
  return compressed ? "is a compressed point, which Kubernetes does not accept" : undefined;
}

function rsaProblem({ asymmetricKeyDetails: details }: KeyObject, purpose: KeyPurpose): string | undefined {
  const { modulusLength: bits = 0, publicExponent: exponent = 0n } = details ?? {};
  const [least, most] = rsaBits[purpose];
  if (bits < least) return `is RSA with ${bits} bits, but needs at least ${least}`;
  if (bits > most) return `is RSA with ${bits} bits, but may have at most ${most}`;
  return exponent < 2n || exponent > largestExponent ? "has a public exponent that Go does not accept" : undefined;
}
