import { X509Certificate } from "node:crypto";

const pemBlock = /-----BEGIN CERTIFICATE-----[^-]+-----END CERTIFICATE-----/g;

/**
 * Returns the management CAs in PEM text. There are two while the management CA is being replaced.
 * @throws if a certificate cannot be read, or if there is no certificate
 */
export function parseAuthorities(pem: string): readonly X509Certificate[] {
  const blocks = pem.match(pemBlock) ?? [];
  if (blocks.length === 0) throw new Error("it contains no certificate");
  return blocks.map((block) => new X509Certificate(block));
}

/** Whether any of the CAs has signed the certificate. */
export function isSignedByAny(certificate: X509Certificate, authorities: readonly X509Certificate[]): boolean {
  return authorities.some(({ publicKey }) => certificate.verify(publicKey));
}
