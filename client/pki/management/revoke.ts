import { KhwError } from "../../../proto/errors.ts";
import { roleOf } from "../../../proto/roles.ts";
import { subjectOf } from "../../../proto/subject.ts";
import { refuse, show } from "../../../proto/validate.ts";
import { readAuthorityCertificate, readIdentity } from "../folder.ts";
import { parseCertificate } from "../pem.ts";
import { addToRegister, readRegister } from "./register.ts";

/** A revoked node. Clients refuse its certificates from now on. */
export interface RevokedAgent {
  readonly name: string;
  /** The number of certificates that were signed for the node. */
  readonly certificates: number;
}

/**
 * Revokes nodes. Clients then refuse the nodes' certificates, and the nodes cannot get new certificates. If `removed`
 * is true, also records that the nodes were removed from their cluster. A removed node is recorded only once.
 * @throws KhwError INVALID_ARGUMENT if a name belongs to a person; in that case, no node is revoked
 */
export async function revokeAgents(
  folder: string,
  names: readonly string[],
  { removed = false }: { readonly removed?: boolean } = {},
): Promise<RevokedAgent[]> {
  // Without a management CA in the folder, no client would read the register.
  await readAuthorityCertificate(folder);
  const { issued, removedNames } = await readRegister(folder);
  const beforehand = new Map<string, string>();
  for (const name of names) {
    const identity = await readIdentity(folder, name);
    if (identity !== undefined) beforehand.set(name, agentSerial(name, identity.certificate));
  }
  const revoked: RevokedAgent[] = [];
  for (const name of names) {
    if (removed && removedNames.has(name)) continue;
    const serial = beforehand.get(name);
    const serials = [...new Set([...(issued.get(name) ?? []), ...(serial === undefined ? [] : [serial])])];
    const at = new Date().toISOString();
    await addToRegister(folder, { event: "revoked", at, name, serials, ...(removed && { removed }) });
    revoked.push({ name, certificates: serials.length });
  }
  return revoked;
}

/**
 * Returns the serial number of an agent's certificate. Refuses other certificates, because clients look up only agents
 * in the register.
 */
function agentSerial(name: string, pem: string): string {
  const certificate = parseCertificate(pem);
  if (certificate === undefined) {
    throw new KhwError("CREDENTIAL_INVALID", `${name}.pem is not a PEM certificate`, {
      hint: `restore the certificate, or move ${name}.pem and ${name}-key.pem out of the way; agents.jsonl also has the serial numbers`,
    });
  }
  if (roleOf(subjectOf(certificate)["O"]) === "agent") return certificate.serialNumber;
  return refuse(
    "name",
    `${show(name)} is not an agent's identity; only agents' identities can be revoked`,
    "to revoke an administrator or a viewer, create a new management CA (see docs/security.md)",
  );
}
