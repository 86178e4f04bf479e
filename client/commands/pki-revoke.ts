import { KhwError } from "../../proto/errors.ts";
import { roleOf } from "../../proto/roles.ts";
import { subjectOf } from "../../proto/subject.ts";
import { parseNodeName, refuse, show } from "../../proto/validate.ts";
import type { Context } from "../terminal/context.ts";
import { readAuthorityCertificate, readIdentity } from "../pki/folder.ts";
import { addToRegister, readRegister } from "../pki/management/register.ts";
import { parseCertificate } from "../pki/pem.ts";

export interface PkiRevokeOptions {
  readonly folder: string;
  readonly names: readonly string[];
}

/**
 * Revokes nodes: their certificates are refused, and they cannot get new certificates.
 * @throws KhwError INVALID_ARGUMENT if a name belongs to a person; no node is revoked in that case
 */
export async function pkiRevoke(context: Context, { folder, names }: PkiRevokeOptions): Promise<number> {
  if (names.length === 0)
    refuse("pki revoke", "no name given", "specify a node's name, for example: khw-client pki revoke controller-1");
  for (const name of names) parseNodeName("name", name);
  // Without a management CA in the folder, no client would read the register.
  await readAuthorityCertificate(folder);
  const { issued } = await readRegister(folder);
  const beforehand = new Map<string, string>();
  for (const name of names) {
    const identity = await readIdentity(folder, name);
    if (identity !== undefined) beforehand.set(name, agentSerial(name, identity.certificate));
  }
  for (const name of names) {
    const serial = beforehand.get(name);
    const serials = new Set([...(issued.get(name) ?? []), ...(serial === undefined ? [] : [serial])]);
    await addToRegister(folder, { event: "revoked", at: new Date().toISOString(), name, serials: [...serials] });
    context.write(`${name}: revoked, with ${serials.size} certificate${serials.size === 1 ? "" : "s"}\n`);
    if (serials.size === 0) context.warn(`${name}: this CA never signed a certificate for it; check the node's name\n`);
  }
  return 0;
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
