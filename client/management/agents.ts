import { X509Certificate } from "node:crypto";
import { KhwError, toKhwError } from "../../proto/errors.ts";
import type { ManagementIdentity, NodeAddress } from "../cluster/channel.ts";
import { connectEnrolment } from "../enrolment/connect.ts";
import { prove } from "../enrolment/prove.ts";
import type { Identity } from "../pki/certificate.ts";
import { issue } from "../pki/management/issue.ts";
import type { Signer } from "../pki/management/sign-agent.ts";

/** The management CAs that an agent must trust, and the signer of the agent's next certificate. */
export interface Move {
  /** The caller's identity, which the agent accepts now. */
  readonly caller: ManagementIdentity;
  readonly signer: Signer;
  /** The management CAs (PEM) that the agent trusts afterwards. */
  readonly authorities: string;
  readonly signal: AbortSignal;
}

const probeName = "khw-rotation-probe";

/** Creates a read-only identity, valid for a day, that shows whether an agent trusts the CA. */
export async function probeIdentity(authority: Identity, ca: string): Promise<ManagementIdentity> {
  const { certificate, key } = await issue(authority, { name: probeName, role: "viewer", days: 1 }, new Date());
  return { ca: Buffer.from(ca), certificate: Buffer.from(certificate), key: Buffer.from(key) };
}

/**
 * Whether the agent accepts the identity.
 * @throws KhwError if the agent does not answer
 */
export async function accepts(
  address: NodeAddress,
  identity: ManagementIdentity,
  signal: AbortSignal,
): Promise<boolean> {
  const node = connectEnrolment(address, identity, "management");
  try {
    await node.enrolment(signal);
    return true;
  } catch (thrown) {
    const error = toKhwError(thrown);
    if (error.code === "UNAUTHENTICATED") return false;
    throw error;
  } finally {
    node.close();
  }
}

/** Gives the agent a new certificate and the management CAs that it trusts from then on. */
export async function moveAgent(address: NodeAddress, { caller, signer, authorities, signal }: Move): Promise<void> {
  const node = connectEnrolment(address, caller, "management");
  try {
    const { request } = await node.request(Buffer.alloc(0), signal);
    const certificate = await signer.sign(address.name, request);
    const trusted = await node.install(certificate, signal, authorities);
    if (trusted === 0) {
      throw new KhwError("VERSION_SKEW", "the agent cannot change the management CA that it trusts", {
        node: address.name,
        hint: "upgrade it with khw-client agent upgrade, then run the command again",
      });
    }
    await prove(address, caller, { serial: new X509Certificate(certificate).serialNumber, signal });
  } finally {
    node.close();
  }
}

/** Whether the CA signed the certificate that the agent presents to its callers. */
export async function servesWith(
  address: NodeAddress,
  { caller, authority, signal }: Pick<Move, "caller" | "signal"> & { readonly authority: Identity },
): Promise<boolean> {
  const node = connectEnrolment(address, caller, "management");
  try {
    const { peer } = await node.enrolment(signal);
    return peer.verify(new X509Certificate(authority.certificate).publicKey);
  } finally {
    node.close();
  }
}
