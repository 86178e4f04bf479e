import { parseNodeName, refuse } from "../../proto/validate.ts";
import { revokeAgents } from "../pki/management/revoke.ts";
import type { Context } from "../terminal/context.ts";

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
  for (const { name, certificates } of await revokeAgents(folder, names)) {
    context.write(`${name}: revoked, with ${certificates} certificate${certificates === 1 ? "" : "s"}\n`);
    if (certificates === 0)
      context.warn(`${name}: this CA has never signed a certificate for this node; check the node's name\n`);
  }
  return 0;
}
