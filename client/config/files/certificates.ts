import { createPrivateKey, X509Certificate } from "node:crypto";

/** Returns the reason why this text has no usable certificates in PEM; undefined if all certificates can be read. */
export function certificatesProblem(pem: string): string | undefined {
  const blocks = pem.match(/-----BEGIN CERTIFICATE-----[^-]*-----END CERTIFICATE-----/g) ?? [];
  if (blocks.length === 0) return "contains no certificate in PEM";
  const damaged = blocks.findIndex((block) => !isReadable(block));
  return damaged === -1 ? undefined : `contains a damaged certificate (number ${damaged + 1})`;
}

/** Returns the reason why this text is not a private key in PEM without a password. Quotes nothing of the text. */
export function keyProblem(pem: string): string | undefined {
  try {
    return createPrivateKey(pem).type === "private" ? undefined : "contains no private key in PEM";
  } catch {
    return "contains no private key in PEM, or the key needs a password";
  }
}

function isReadable(pem: string): boolean {
  try {
    return new X509Certificate(pem).raw.length > 0;
  } catch {
    return false;
  }
}
