import type { webcrypto } from "node:crypto";
import { organizations } from "../../../proto/roles.ts";
import type { Role } from "../../../proto/roles.ts";
import {
  createAuthority as createAnyAuthority,
  type Identity,
  issueIdentity,
  type Leaf,
  signCertificate,
} from "../certificate.ts";

export type { Identity } from "../certificate.ts";

export interface Request {
  /** The Common Name. For an agent, this is the instance's name, which is also the DNS name. */
  readonly name: string;
  readonly role: Role;
  /** The validity of the certificate in days, counted from now. */
  readonly days: number;
}

export const authorityDays = 3650;
export const identityDays = 365;

const algorithm = "ecdsa";

/** Creates a management CA that can sign identities, but no other CA. */
export async function createAuthority(now: Date): Promise<Identity> {
  return createAnyAuthority({ subject: { CN: "khw management CA", O: "khw" }, days: authorityDays, algorithm }, now);
}

/**
 * Issues a new key and its certificate, signed by the management CA. A person's certificate is valid only for calling
 * agents, and an agent's certificate only for answering calls. A stolen node therefore cannot control the other nodes.
 * @throws KhwError INVALID_ARGUMENT if the certificate would outlive the CA
 */
export async function issue(authority: Identity, request: Request, now: Date): Promise<Identity> {
  return issueIdentity(authority, { ...leafOf(request), algorithm }, { now, daysField: "--days" });
}

/**
 * Like `issue`, but issues the certificate, in PEM, for a key that another machine holds.
 * @throws KhwError as `issue` does
 */
export async function issueFor(
  publicKey: webcrypto.CryptoKey,
  { authority, request, now }: { readonly authority: Identity; readonly request: Request; readonly now: Date },
): Promise<string> {
  return signCertificate(authority, { ...leafOf(request), publicKey }, { now, daysField: "enrolment.days" });
}

function leafOf({ name, role, days }: Request): Leaf {
  return {
    subject: { CN: name, O: organizations[role] },
    usages: [role === "agent" ? "serverAuth" : "clientAuth"],
    names: role === "agent" ? [name] : [],
    days,
  };
}
