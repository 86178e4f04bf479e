import { join } from "node:path";
import { KhwError } from "../../proto/errors.ts";
import { roleOf } from "../../proto/roles.ts";
import { subjectOf } from "../../proto/subject.ts";
import { isPair, readAuthorityCertificate, readIdentity } from "../pki/folder.ts";
import type { Identity } from "../pki/management/issue.ts";
import type { Register } from "../pki/management/register.ts";
import { isDue } from "../pki/management/sign-agent.ts";
import { utcDay } from "../../proto/time.ts";
import { parseCertificate } from "../pki/pem.ts";

/** The contents of a node's identity folder, with the certificates in PEM. */
export interface Present {
  readonly ca: string | undefined;
  readonly certificate: string | undefined;
  readonly hasKey: boolean;
}

/** Returns the reason why a node needs a new identity; undefined if its current identity is valid. */
export function whyNew(name: string, present: Present, ca: string): string | undefined {
  if (present.certificate === undefined || present.ca === undefined || !present.hasKey)
    return "the node has no identity yet";
  const sameCa = parseCertificate(present.ca)?.fingerprint256 === parseCertificate(ca)?.fingerprint256;
  const unfit = sameCa
    ? (whyUnfit(name, present.certificate, ca) ?? whyOld(present.certificate))
    : "is from another management CA";
  return unfit === undefined ? undefined : `the current identity ${unfit}`;
}

export function whyRevoked(
  { certificate }: Pick<Present, "certificate">,
  { revokedSerials }: Register,
): string | undefined {
  const serial = certificate === undefined ? undefined : parseCertificate(certificate)?.serialNumber;
  return serial !== undefined && revokedSerials.has(serial) ? "the current identity was revoked" : undefined;
}

/**
 * Returns the identity that was issued for the node beforehand, with a key that was created on this workstation.
 * Returns undefined if no identity was issued, or if the identity is too old or revoked.
 */
export async function issuedBeforehand(
  name: string,
  folder: string,
  register: Register,
): Promise<Identity | undefined> {
  const existing = await readIdentity(folder, name);
  if (existing === undefined) return undefined;
  const ca = await readAuthorityCertificate(folder);
  const unfit = isPair(existing) ? whyUnfit(name, existing.certificate, ca) : "does not match its key";
  const useless = whyRevoked(existing, register) ?? whyOld(existing.certificate);
  if (unfit === undefined) return useless === undefined ? existing : undefined;
  throw new KhwError("CREDENTIAL_INVALID", `${join(folder, `${name}.pem`)}: ${unfit}`, {
    hint: `move ${name}.pem and ${name}-key.pem to another folder; the node then creates its own key`,
  });
}

function whyOld(pem: string): string | undefined {
  const certificate = parseCertificate(pem);
  return certificate !== undefined && isDue(certificate, Date.now())
    ? `expires on ${utcDay(certificate.validToDate)}`
    : undefined;
}

/**
 * Returns the reason why a certificate is not valid for an agent with this name under this CA; undefined if the
 * certificate is valid.
 */
function whyUnfit(name: string, pem: string, caPem: string): string | undefined {
  const certificate = parseCertificate(pem);
  const ca = parseCertificate(caPem);
  if (certificate === undefined || ca === undefined) return "cannot be read";
  if (!certificate.checkIssued(ca) || !certificate.verify(ca.publicKey)) return "is from another management CA";
  if (roleOf(subjectOf(certificate)["O"]) !== "agent") return "is not for an agent";
  if (certificate.checkHost(name, { subject: "never" }) === undefined) return "is for another name";
  return undefined;
}
