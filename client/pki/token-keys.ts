import { createPublicKey, type KeyObject, X509Certificate } from "node:crypto";
import { KhwError } from "../../proto/errors.ts";
import { isPair } from "./check/pem.ts";
import { type PemBlock, readBlocks } from "./check/pem-blocks.ts";

/** A public key in service-account.pem, and the text of its PEM block. */
export interface PublicTokenKey {
  readonly key: KeyObject;
  readonly pem: string;
}

/**
 * Returns the public keys in service-account.pem, in order. Each PEM block contains either a key or a certificate with
 * a key.
 * @throws KhwError CREDENTIAL_INVALID for a block that Kubernetes cannot read
 */
export function splitPublicKeys(text: string): PublicTokenKey[] {
  return readBlocks(Buffer.from(text)).map((block) => ({ key: keyIn(block), pem: renderBlock(block) }));
}

/** Returns the PEM text of all public keys that do not belong to the private key. */
export function otherPublicKeys(text: string, privateKey: KeyObject): string {
  return splitPublicKeys(text)
    .filter(({ key }) => !isPair(privateKey, key))
    .map(({ pem }) => pem)
    .join("");
}

function keyIn({ der, type }: PemBlock): KeyObject {
  try {
    return type === "CERTIFICATE"
      ? new X509Certificate(der).publicKey
      : createPublicKey({ key: der, format: "der", type: "spki" });
  } catch (cause) {
    throw new KhwError("CREDENTIAL_INVALID", `service-account.pem has a block without a public key: ${type}`, {
      hint: "run khw-client pki check",
      cause,
    });
  }
}

function renderBlock({ type, der }: PemBlock): string {
  const lines = der.toString("base64").match(/.{1,64}/g) ?? [];
  return [`-----BEGIN ${type}-----`, ...lines, `-----END ${type}-----`, ""].join("\n");
}
