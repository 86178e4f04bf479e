import type { X509Certificate } from "node:crypto";
import { readCertificates } from "../pki/check/pem.ts";

export function certificatesOf(pem: string): readonly X509Certificate[] {
  return readCertificates(Buffer.from(pem));
}

/** Returns the digests of the certificates in PEM text, in order. */
export function digestsOf(pem: string): ReadonlySet<string> {
  return new Set(certificatesOf(pem).map(({ fingerprint256 }) => fingerprint256));
}
