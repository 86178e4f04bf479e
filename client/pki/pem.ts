import { X509Certificate } from "node:crypto";
import { utcDay } from "../../proto/time.ts";

/** Describes a certificate in readable form: `CN=controller-0, O=khw:agent, valid until 2027-01-31`. */
export function describeCertificate(certificate: string): string {
  const parsed = new X509Certificate(certificate);
  return `${parsed.subject.replaceAll("\n", ", ")}, valid until ${utcDay(parsed.validToDate)}`;
}

/**
 * Returns undefined for text that is not a certificate. Omits Node.js's error message, which names neither the file nor
 * the remedy.
 */
export function parseCertificate(pem: string): X509Certificate | undefined {
  try {
    return new X509Certificate(pem);
  } catch {
    return undefined;
  }
}
