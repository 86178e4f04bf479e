import { X509Certificate } from "node:crypto";
import { parseNodeName, refuse } from "../../proto/validate.ts";
import type { Context } from "../context.ts";
import { readAuthorityCertificate, readIdentity } from "../pki/folder.ts";
import { addToRegister, readRegister } from "../pki/register.ts";

export interface PkiRevokeOptions {
  readonly folder: string;
  readonly names: readonly string[];
}

/** Shuts nodes out: their certificates are not accepted any more, and they get no others. */
export async function pkiRevoke(context: Context, { folder, names }: PkiRevokeOptions): Promise<number> {
  if (names.length === 0) refuse("pki revoke", "a name is missing", "for example khw-client pki revoke controller-1");
  for (const name of names) parseNodeName("name", name);
  // A folder that is none of a management CA's would keep a register that nobody reads.
  await readAuthorityCertificate(folder);
  const { issued } = await readRegister(folder);
  for (const name of names) {
    const beforehand = await readIdentity(folder, name);
    const serials = new Set(issued.get(name));
    if (beforehand !== undefined) serials.add(new X509Certificate(beforehand.certificate).serialNumber);
    await addToRegister(folder, { event: "revoked", at: new Date().toISOString(), name, serials: [...serials] });
    context.write(`${name}: revoked, with ${serials.size} certificate${serials.size === 1 ? "" : "s"} of its\n`);
  }
  return 0;
}
