import { isSignedByAny, parseAuthorities } from "./authorities.ts";

/** Whether the two bundles have at least one certificate in common. */
export function shareCertificate(one: string, other: string): boolean {
  const known = certificatesIn(other);
  return certificatesIn(one).some((certificate) => known.includes(certificate));
}

/** Returns the base64 body of each certificate, without line breaks. */
export function certificatesIn(pem: string): string[] {
  const blocks = pem.matchAll(/-----BEGIN CERTIFICATE-----([^-]+)-----END CERTIFICATE-----/g);
  return [...blocks].map(([, body = ""]) => body.replaceAll(/\s/g, ""));
}

/**
 * Whether a CA in the bundle has signed the certificate or one of its intermediate CAs. Returns undefined if either
 * text contains no readable certificate.
 */
export function isTrusted(certificate: string, bundle: string): boolean | undefined {
  try {
    const authorities = parseAuthorities(bundle);
    return parseAuthorities(certificate).some((one) => isSignedByAny(one, authorities));
  } catch {
    // Other checks report unreadable files.
    return undefined;
  }
}
