import { KhwError } from "../../proto/errors.ts";
import { dayMillis } from "../../proto/time.ts";
import { isUnknownCall } from "../cluster/call-errors.ts";
import type { Member } from "../cluster/open.ts";
import { type Identity, issueIdentity } from "../pki/certificate.ts";
import type { Verdict } from "./rotate.ts";
import { certificatesOf } from "./certificates.ts";
import type { ProvenServer } from "./kinds.ts";

const probeSubject = { CN: "khw-rotation-probe", O: "khw:rotation-probe" };

export interface ProveOptions {
  /** The CA that signs the probe's certificate. */
  readonly authority: Identity;
  /** The PEM certificates of the CAs that must have issued the servers' certificates. */
  readonly ca: string;
  readonly expected: Verdict;
  /** The servers that every agent must report on. Verdicts about other servers are ignored. */
  readonly servers: readonly ProvenServer[];
  readonly signal: AbortSignal;
}

/**
 * Creates a client certificate, and checks on every node that these servers accept or refuse it, as expected. Returns
 * the servers, for example "etcd on controller-0".
 * @throws KhwError VERIFY_FAILED if a server's verdict differs, or if an agent does not report each of these servers
 * exactly once; VERSION_SKEW for an agent that cannot make the check
 */
export async function proveOnNodes(
  members: readonly Pick<Member, "node">[],
  { authority, ca, expected, servers, signal }: ProveOptions,
): Promise<readonly string[]> {
  const probe = await issueProbe(authority);
  const request = { ca: Buffer.from(ca), certificate: Buffer.from(probe.certificate), key: Buffer.from(probe.key) };
  const proven: string[] = [];
  for (const { node } of members) {
    const { name } = node.address;
    const { verdicts } = await node.tryCertificate(request, signal).catch((thrown: unknown) => {
      if (thrown instanceof KhwError && isUnknownCall(thrown)) throw tooOld(name);
      throw thrown;
    });
    const reported = verdicts.map(({ server }) => server).toSorted();
    const concerned = verdicts.filter(({ server }) => servers.some((known) => known === server));
    const isComplete = concerned.length === new Set(concerned.map(({ server }) => server)).size;
    if (!isComplete || concerned.length !== servers.length) throw incomplete(name, reported, servers);
    for (const { server, accepted } of concerned) {
      if (accepted !== (expected === "accepted")) throw unexpectedVerdict(name, server, expected);
      proven.push(`${server} on ${name}`);
    }
  }
  return proven;
}

/** Issues a certificate that is valid for a day, but not longer than the CA. */
async function issueProbe({ certificate, key }: Identity): Promise<Identity> {
  const now = new Date();
  const [first] = certificatesOf(certificate);
  const authority = { certificate: first?.toString() ?? certificate, key };
  const left = first === undefined ? 1 : (first.validToDate.getTime() - now.getTime()) / dayMillis;
  const days = Math.min(1, left);
  const leaf = { subject: probeSubject, usages: ["clientAuth"], names: [], days, algorithm: "ecdsa" } as const;
  return issueIdentity(authority, leaf, { now, daysField: "the probe" });
}

function unexpectedVerdict(node: string, server: string, expected: Verdict): KhwError {
  const found = expected === "accepted" ? "refuses" : "accepts";
  const message = `${server} ${found} a certificate that must be ${expected}`;
  return new KhwError("VERIFY_FAILED", message, {
    node,
    hint: "run khw-client plan to see whether the node has different files; then run the command again",
  });
}

function incomplete(node: string, reported: readonly string[], servers: readonly string[]): KhwError {
  const wanted = servers.toSorted().join(", ");
  const message = `the agent reports about ${reported.join(", ") || "no server"}, not about ${wanted}`;
  return new KhwError("VERIFY_FAILED", message, {
    node,
    hint: "run khw-client bootstrap, so that the agent gets its desired state again; then run the command again",
  });
}

function tooOld(node: string): KhwError {
  return new KhwError("VERSION_SKEW", "the agent cannot check which certificates its servers accept", {
    node,
    hint: "upgrade it with khw-client agent upgrade, then run the command again",
  });
}
