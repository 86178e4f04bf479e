import { X509Certificate } from "node:crypto";

/** `CN=controller-0, O=khw:agent, valid until 2027-01-31`: what people are told about a certificate. */
export function describe(certificate: string): string {
  const parsed = new X509Certificate(certificate);
  return `${parsed.subject.replaceAll("\n", ", ")}, valid until ${date(parsed.validToDate)}`;
}

/** The calendar day in UTC. */
export function date(time: Date): string {
  return time.toISOString().slice(0, 10);
}
