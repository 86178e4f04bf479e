import { X509Certificate } from "node:crypto";
import { join } from "node:path";
import { KhwError } from "../../proto/errors.ts";
import { roleOf } from "../../proto/roles.ts";
import { isPair, readAuthority, readAuthorityCertificate, readIdentity } from "../pki/folder.ts";
import { date } from "../pki/describe.ts";
import { identityDays, issue } from "../pki/issue.ts";
import type { Identity } from "../pki/issue.ts";

/** An identity that ends sooner than this is renewed by the next install: 30 days. */
const renewBefore = 30 * 86_400_000;

/** What a node has in its folder of identities; certificates in PEM. */
export interface Present {
  readonly ca: string | undefined;
  readonly certificate: string | undefined;
  readonly hasKey: boolean;
}

/** Why a node needs a new identity, or undefined when it can go on with the one that it has. */
export function whyNew(name: string, present: Present, ca: string): string | undefined {
  if (present.certificate === undefined || present.ca === undefined || !present.hasKey) return "there is none yet";
  const sameCa = parse(present.ca)?.fingerprint256 === parse(ca)?.fingerprint256;
  const unfit = sameCa ? whyUnfit(name, present.certificate, ca, renewBefore) : "is of another management CA";
  return unfit === undefined ? undefined : `the present one ${unfit}`;
}

/**
 * The identity for a node that needs one: the one in the folder if it is there, and otherwise a new one, whose key is then on
 * the node and nowhere else.
 */
export async function identityFor(name: string, folder: string): Promise<Identity> {
  const existing = await readIdentity(folder, name);
  if (existing === undefined) {
    return issue(await readAuthority(folder), { name, role: "agent", days: identityDays }, new Date());
  }
  const ca = await readAuthorityCertificate(folder);
  const unfit = isPair(existing) ? whyUnfit(name, existing.certificate, ca, 0) : "does not fit its key";
  if (unfit === undefined) return existing;
  throw new KhwError("CREDENTIAL_INVALID", `${join(folder, `${name}.pem`)}: ${unfit}`, {
    hint: `move ${name}.pem and ${name}-key.pem away, and install makes a new identity`,
  });
}

/** What is wrong with a certificate that should be an agent's of this name and CA for `remaining` more milliseconds. */
function whyUnfit(name: string, pem: string, caPem: string, remaining: number): string | undefined {
  const certificate = parse(pem);
  const ca = parse(caPem);
  if (certificate === undefined || ca === undefined) return "cannot be read";
  if (!certificate.checkIssued(ca) || !certificate.verify(ca.publicKey)) return "is of another management CA";
  if (roleOf(certificate.toLegacyObject().subject.O) !== "agent") return "is not an agent's";
  if (certificate.checkHost(name, { subject: "never" }) === undefined) return "is for another name";
  if (certificate.validToDate.getTime() - Date.now() <= remaining) return `ends on ${date(certificate.validToDate)}`;
  return undefined;
}

function parse(pem: string): X509Certificate | undefined {
  try {
    return new X509Certificate(pem);
  } catch {
    // Whatever stands there instead of a certificate, the remedy is a new one.
    return undefined;
  }
}
