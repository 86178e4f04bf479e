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
  /** The Common Name. In an agent's certificate, this is the name of the instance, and also the DNS name. */
  readonly name: string;
  readonly role: Role;
  /** The validity of the certificate in days, counted from now. */
  readonly days: number;
}

export const authorityDays = 3650;
export const identityDays = 365;

const algorithm = "ecdsa";

/** Creates a management CA that can sign identities, but not other CAs. */
export async function createAuthority(now: Date): Promise<Identity> {
  return createAnyAuthority({ subject: { CN: "khw management CA", O: "khw" }, days: authorityDays, algorithm }, now);
}

/**
 * Issues a new key and its certificate, signed by the management CA. A person's certificate is valid only as a client,
 * and an agent's certificate is valid only as a server. Therefore, the key of a stolen node cannot control other nodes.
 * @throws KhwError INVALID_ARGUMENT if the certificate would outlive the CA
 */
export async function issue(authority: Identity, request: Request, now: Date): Promise<Identity> {
  return issueIdentity(authority, { ...leafOf(request), algorithm }, { now, daysField: "--days" });
}

/**
 * Like `issue`, but for a key that stays on another machine. Returns the certificate in PEM.
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
