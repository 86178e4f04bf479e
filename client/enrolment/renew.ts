import { X509Certificate } from "node:crypto";
import type { ManagementIdentity, NodeAddress } from "../cluster/channel.ts";
import { describeCertificate } from "../pki/pem.ts";
import { isDue, type Signer } from "../pki/management/sign-agent.ts";
import { connectEnrolment } from "./connect.ts";
import { prove } from "./prove.ts";

export interface RenewOptions {
  readonly identity: ManagementIdentity;
  /** Opens the signer when the first certificate is due for renewal; the CA's key is not read earlier. */
  readonly signer: () => Promise<Signer>;
  readonly signal: AbortSignal;
}

/**
 * Renews the certificate of the node's agent after two thirds of the certificate's lifetime. The new certificate uses a
 * new key and is sent over the connection that the current certificate authenticates. Returns a description of the new
 * certificate; undefined if the renewal was not due.
 * @throws KhwError
 */
export async function renewNode(
  address: NodeAddress,
  { identity, signer, signal }: RenewOptions,
): Promise<string | undefined> {
  const node = connectEnrolment(address, identity, "management");
  try {
    const { peer } = await node.enrolment(signal);
    if (!isDue(peer, Date.now())) return undefined;
    const authority = await signer();
    const { request } = await node.request(Buffer.alloc(0), signal);
    const certificate = await authority.sign(address.name, request);
    await node.install(certificate, signal);
    await prove(address, identity, { serial: new X509Certificate(certificate).serialNumber, signal });
    return describeCertificate(certificate);
  } finally {
    node.close();
  }
}
