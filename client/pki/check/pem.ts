import { createPrivateKey, createPublicKey, type KeyObject, X509Certificate } from "node:crypto";

/** The certificates of a PEM text, the first first; none when there is none or one cannot be read. */
export function readCertificates(pem: Uint8Array): readonly X509Certificate[] {
  const blocks = Buffer.from(pem)
    .toString("latin1")
    .match(/-----BEGIN CERTIFICATE-----[^-]+-----END CERTIFICATE-----/g);
  return attempt(() => (blocks ?? []).map((block) => new X509Certificate(block))) ?? [];
}

/** Undefined when it is no private key in PEM, or an encrypted one. */
export function readPrivateKey(pem: Uint8Array): KeyObject | undefined {
  return attempt(() => createPrivateKey({ key: Buffer.from(pem), format: "pem" }));
}

/** The public key of a PEM text that holds one or a certificate of one. */
export function readPublicKey(pem: Uint8Array): KeyObject | undefined {
  // Node would make a public key of a private one too.
  if (Buffer.from(pem).includes("PRIVATE KEY")) return undefined;
  return attempt(() => createPublicKey({ key: Buffer.from(pem), format: "pem" }));
}

export function isPair(privateKey: KeyObject, publicKey: KeyObject): boolean {
  return createPublicKey(privateKey).equals(publicKey);
}

/** OpenSSL's reasons say nothing that helps, and might say something of the content. */
function attempt<T>(read: () => T): T | undefined {
  try {
    return read();
  } catch {
    return undefined;
  }
}
