import { createPrivateKey, createPublicKey, KeyObject, webcrypto } from "node:crypto";
import { KhwError } from "../../proto/errors.ts";

/** The kinds of keys that khw can create: RSA with 2048 bits, as in the labs, and ECDSA on P-256. */
export const keyAlgorithms = ["rsa", "ecdsa"] as const;
export type KeyAlgorithm = (typeof keyAlgorithms)[number];

/** The algorithm with which a key signs, as WebCrypto expects it. */
export type SigningAlgorithm =
  | { readonly name: "RSASSA-PKCS1-v1_5"; readonly hash: "SHA-256" }
  | { readonly name: "ECDSA"; readonly namedCurve: string; readonly hash: string };

/** A private key for signing, and its signing algorithm. */
export interface Signer {
  readonly key: webcrypto.CryptoKey;
  readonly algorithm: SigningAlgorithm;
}

const rsa = { name: "RSASSA-PKCS1-v1_5", hash: "SHA-256" } as const;
/** The signing algorithm for each curve, by OpenSSL's name of the curve. The curve determines the hash algorithm. */
const curves: Readonly<Record<string, SigningAlgorithm>> = {
  prime256v1: { name: "ECDSA", namedCurve: "P-256", hash: "SHA-256" },
  secp384r1: { name: "ECDSA", namedCurve: "P-384", hash: "SHA-384" },
  secp521r1: { name: "ECDSA", namedCurve: "P-521", hash: "SHA-512" },
};

/** Creates a new key pair. Returns the key pair and its signing algorithm. */
export async function generateKeys(kind: KeyAlgorithm): Promise<webcrypto.CryptoKeyPair & { signer: Signer }> {
  const usages = ["sign", "verify"] as const;
  const parameters =
    kind === "rsa"
      ? { ...rsa, modulusLength: 2048, publicExponent: new Uint8Array([1, 0, 1]) }
      : { name: "ECDSA", namedCurve: "P-256" };
  const pair = await webcrypto.subtle.generateKey(parameters, true, usages);
  if (!("privateKey" in pair)) throw new TypeError("expected a pair of keys, got a single key");
  const algorithm = kind === "rsa" ? rsa : ({ name: "ECDSA", namedCurve: "P-256", hash: "SHA-256" } as const);
  return { ...pair, signer: { key: pair.privateKey, algorithm } };
}

/**
 * Reads an authority's private key, in any PEM form.
 * @throws KhwError CREDENTIAL_INVALID for a kind of key that khw cannot sign with
 */
export async function importSigner(pem: string): Promise<Signer> {
  const key = createPrivateKey(pem);
  const algorithm = algorithmOf(key);
  const der = key.export({ type: "pkcs8", format: "der" });
  return { key: await webcrypto.subtle.importKey("pkcs8", new Uint8Array(der), algorithm, false, ["sign"]), algorithm };
}

/**
 * Returns the public key from PEM text that contains a public key or a private key.
 * @throws KhwError as importSigner does
 */
export async function importPublicKey(pem: string): Promise<webcrypto.CryptoKey> {
  const key = createPublicKey(pem);
  const der = key.export({ type: "spki", format: "der" });
  return webcrypto.subtle.importKey("spki", new Uint8Array(der), algorithmOf(key), true, ["verify"]);
}

/** Returns the key in PEM, as PKCS #8. */
export function exportKey(key: webcrypto.CryptoKey): string {
  return KeyObject.from(key).export({ type: "pkcs8", format: "pem" }).toString();
}

function algorithmOf(key: KeyObject): SigningAlgorithm {
  const algorithm = key.asymmetricKeyType === "rsa" ? rsa : curves[key.asymmetricKeyDetails?.namedCurve ?? ""];
  if (algorithm !== undefined) return algorithm;
  const kind = key.asymmetricKeyType ?? "secret";
  throw new KhwError("CREDENTIAL_INVALID", `khw cannot create certificates with a key of this kind: ${kind}`, {
    hint: "use RSA, or ECDSA on P-256, P-384 or P-521",
  });
}
