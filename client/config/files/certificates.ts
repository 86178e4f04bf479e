import { createPrivateKey, X509Certificate } from "node:crypto";

/**
 * Returns why this text cannot be used as PEM certificates; undefined if the text contains certificates and all of them
 * can be read.
 */
export function certificatesProblem(pem: string): string | undefined {
  const blocks = pem.match(/-----BEGIN CERTIFICATE-----[^-]*-----END CERTIFICATE-----/g) ?? [];
  if (blocks.length === 0) return "contains no certificate in PEM format";
  const damaged = blocks.findIndex((block) => !isReadable(block));
  return damaged === -1 ? undefined : `contains a damaged certificate (number ${damaged + 1})`;
}

/** Returns why this text cannot be used as an unencrypted PEM private key. The reason quotes no part of the text. */
export function keyProblem(pem: string): string | undefined {
  try {
    return createPrivateKey(pem).type === "private" ? undefined : "contains no private key in PEM format";
  } catch {
    return "contains no private key in PEM format, or the key needs a password";
  }
}

function isReadable(pem: string): boolean {
  try {
    return new X509Certificate(pem).raw.length > 0;
  } catch {
    return false;
  }
}
