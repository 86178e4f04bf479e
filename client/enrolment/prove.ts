import { KhwError } from "../../proto/errors.ts";
import type { ManagementIdentity, NodeAddress } from "../cluster/channel.ts";
import { connectEnrolment } from "./connect.ts";

/**
 * Opens a new connection and verifies that the agent presents the certificate with this serial number.
 * @throws KhwError WRONG_NODE, UNREACHABLE
 */
export async function prove(
  address: NodeAddress,
  identity: ManagementIdentity,
  { serial, signal }: { readonly serial: string; readonly signal: AbortSignal },
): Promise<void> {
  const node = connectEnrolment(address, identity, "management");
  try {
    const { peer } = await node.enrolment(signal);
    if (peer.serialNumber === serial) return;
    throw new KhwError("WRONG_NODE", `it presents the certificate ${peer.serialNumber} instead of ${serial}`, {
      node: address.name,
      hint: "run the command again; if it fails again, see journalctl --unit khw-agent on the node",
    });
  } finally {
    node.close();
  }
}
