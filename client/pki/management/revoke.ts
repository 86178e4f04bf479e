import { KhwError } from "../../../proto/errors.ts";
import { roleOf } from "../../../proto/roles.ts";
import { subjectOf } from "../../../proto/subject.ts";
import { refuse, show } from "../../../proto/validate.ts";
import { readAuthorityCertificate, readIdentity } from "../folder.ts";
import { parseCertificate } from "../pem.ts";
import { addToRegister, readRegister } from "./register.ts";

/** A node whose certificates are refused from now on. */
export interface RevokedAgent {
  readonly name: string;
  /** The number of certificates that were signed for the node. */
  readonly certificates: number;
}

/**
 * Revokes nodes. Clients then refuse the nodes' certificates, and the nodes cannot get new certificates. `removed`
 * records that the node was removed from its cluster; a node that was already removed is not recorded again.
 * @throws KhwError INVALID_ARGUMENT if a name belongs to a person; no node is revoked in that case
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

/** Clients look up only agents in the register, so an entry for an administrator would have no effect. */
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
