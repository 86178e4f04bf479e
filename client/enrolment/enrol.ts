import { randomBytes, X509Certificate } from "node:crypto";
import { nonceBytes } from "../../proto/enrolment.ts";
import { KhwError } from "../../proto/errors.ts";
import { type Look, waitFor } from "../../proto/wait-for.ts";
import type { Compute } from "../gce/compute.ts";
import { instanceReference } from "../gce/references.ts";
import type { ManagementIdentity, NodeAddress } from "../cluster/channel.ts";
import { describeCertificate } from "../pki/pem.ts";
import type { Signer } from "../pki/management/sign-agent.ts";
import { connectEnrolment, type EnrolmentNode } from "./connect.ts";
import type { KeySet } from "./jwks.ts";
import { probeCertificate } from "./probe.ts";
import { prove } from "./prove.ts";
import { publishCa } from "./publish.ts";
import { verifyAnswer } from "./verify.ts";

export interface EnrolOptions {
  readonly compute: Pick<Compute, "get" | "setMetadata">;
  readonly project: string;
  readonly identity: ManagementIdentity;
  readonly signer: Signer;
  readonly keys: KeySet;
  /** How long to wait for an agent to accept connections, in milliseconds. */
  readonly waitMillis: number;
  readonly signal: AbortSignal;
  readonly say: (text: string) => void;
}

/** How long an agent may take to get the CA's certificate from the metadata server. */
const knownMillis = 60_000;
const againMillis = 500;

/**
 * Issues a certificate from the management CA to the node's agent, unless the agent already has one. Signs only after
 * the agent has proved which instance it is running on. Returns a description of the certificate's state.
 * @throws KhwError
 */
export async function enrolNode(
  { address, zone }: { readonly address: NodeAddress; readonly zone: string },
  options: EnrolOptions,
): Promise<string> {
  const { compute, project, identity, signer, keys, signal, say } = options;
  const { name } = address;
  const { instance, changed } = await publishCa(compute, instanceReference(project, { name, zone }), {
    ca: signer.ca,
    signal,
  });
  if (changed) say("the management CA is now in the instance's metadata");
  const shown = await probeCertificate(address, options);
  if (isOf(shown, identity)) {
    await prove(address, identity, { serial: shown.serialNumber, signal });
    return `already enrolled: ${describeCertificate(shown.toString())}`;
  }
  const node = await greet(address, shown, options);
  try {
    const nonce = randomBytes(nonceBytes);
    const answer = await node.request(nonce, signal);
    const expected = { project, zone, name, id: instance.id };
    const request = await verifyAnswer(answer, { nonce, keys, instance: expected });
    say(`Google's token proves that this is instance ${instance.id} of ${project}`);
    const certificate = await signer.sign(name, request);
    await node.install(certificate, signal);
    await prove(address, identity, { serial: new X509Certificate(certificate).serialNumber, signal });
    return `enrolled: ${describeCertificate(certificate)}`;
  } finally {
    node.close();
  }
}

/**
 * Connects to the agent as soon as the agent accepts this client. An agent that has just started must first fetch the
 * CA's certificate, because it checks each new connection against the CA.
 */
async function greet(
  address: NodeAddress,
  shown: X509Certificate,
  { identity, waitMillis, signal }: EnrolOptions,
): Promise<EnrolmentNode> {
  if (!shown.verify(shown.publicKey)) {
    throw new KhwError(
      "WRONG_NODE",
      `its certificate is from another management CA: ${shown.issuer.replaceAll("\n", ", ")}`,
      {
        hint: "to give the agent a certificate from this CA over ssh, run khw-client install",
      },
    );
  }
  const check = async (): Promise<Look<EnrolmentNode>> => {
    const node = connectEnrolment(address, identity, shown);
    try {
      await node.enrolment(signal);
      return { reached: node };
    } catch (error) {
      node.close();
      if (!(error instanceof KhwError) || error.code !== "UNAUTHENTICATED") throw error;
      return { seen: error.message, cause: unknownCa(error) };
    }
  };
  return waitFor({
    what: "its agent does not know this management CA",
    check,
    deadlineMillis: Math.min(knownMillis, waitMillis),
    intervalMillis: againMillis,
    signal,
    late: ({ cause }) => cause,
  });
}

function unknownCa(error: KhwError): KhwError {
  return new KhwError("UNAUTHENTICATED", `its agent does not know this management CA: ${error.message}`, {
    node: error.node,
    hint: "to give the agent this CA, run khw-client install; the agent may have a different CA (see /etc/khw-agent/pki/ca.pem on the node)",
    cause: error,
  });
}

function isOf(peer: X509Certificate, { ca }: ManagementIdentity): boolean {
  const authority = new X509Certificate(ca);
  return peer.checkIssued(authority) && peer.verify(authority.publicKey);
}
