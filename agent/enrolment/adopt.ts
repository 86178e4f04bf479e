import { createPrivateKey, X509Certificate } from "node:crypto";
import { open, readFile } from "node:fs/promises";
import { KhwError } from "../../proto/errors.ts";
import { roleOf } from "../../proto/roles.ts";
import { parseAuthorities } from "../certificates/authorities.ts";
import { serverUsage } from "../certificates/identity-files.ts";
import { subjectOf } from "../../proto/subject.ts";
import { replace } from "../os/durable.ts";
import { io, orAbsent } from "../os/io.ts";
import { type IdentityPaths, nextOf, settleIdentity } from "../certificates/next.ts";

/** The response to a signing request. All certificates are in PEM format. */
export interface NewCertificate {
  /** The management CA. There are two while the management CA is being replaced. */
  readonly ca: string;
  readonly certificate: string;
  /** The node's name; undefined if the agent does not know it. */
  readonly name?: string | undefined;
}

/**
 * Installs the certificate as the agent's identity. The certificate must match the pending key, be signed by the CA, be
 * issued for this agent, and be currently valid. Afterwards the agent has either the complete new identity or the
 * complete old one. At its next start, the agent finishes an interrupted change.
 * @throws KhwError CREDENTIAL_INVALID with the reason, and with nothing changed; IO_FAILED
 */
export async function adoptCertificate(paths: IdentityPaths, { ca, certificate, name }: NewCertificate): Promise<void> {
  await settleIdentity(paths);
  const next = nextOf(paths);
  const key = await orAbsent(() => readFile(next.key));
  if (key === undefined) throw issuedInvalid("no key on this node is waiting for a certificate");
  const unfit = whyUnfit(parseIssued(certificate), parseIssuers(ca), name);
  if (unfit !== undefined) throw issuedInvalid(unfit);
  if (!parseIssued(certificate).checkPrivateKey(createPrivateKey(key)))
    throw issuedInvalid("it does not match this node's key");
  await write(next.ca, ca);
  await write(next.certificate, certificate);
  await io(paths.certificate, "cannot replace", () => settleIdentity(paths));
}

function whyUnfit(
  own: X509Certificate,
  authorities: readonly X509Certificate[],
  name: string | undefined,
): string | undefined {
  const now = new Date();
  if (!authorities.every(({ ca }) => ca)) return "the management CA's certificate is not a CA certificate";
  if (!authorities.some((ca) => own.checkIssued(ca) && own.verify(ca.publicKey)))
    return "it is not signed by the management CA";
  if (roleOf(subjectOf(own)["O"]) !== "agent") return "it is not issued for an agent";
  if (!(own.keyUsage ?? []).includes(serverUsage)) return "it is issued for callers, not for an agent";
  if (name !== undefined && own.checkHost(name, { subject: "never" }) === undefined) return `it is not for ${name}`;
  if (own.validToDate < now) return `it expired on ${own.validToDate.toISOString()}`;
  if (own.validFromDate > now) return `it is valid only from ${own.validFromDate.toISOString()}`;
  return undefined;
}

function parseIssued(pem: string): X509Certificate {
  try {
    return new X509Certificate(pem);
  } catch (cause) {
    throw issuedInvalid("it cannot be read", cause);
  }
}

function parseIssuers(pem: string): readonly X509Certificate[] {
  try {
    return parseAuthorities(pem);
  } catch (cause) {
    throw issuedInvalid("the CA's certificate cannot be read", cause);
  }
}

async function write(path: string, content: string): Promise<void> {
  await io(path, "cannot write", () =>
    replace(path, async (temporary) => {
      await using file = await open(temporary, "wx", 0o600);
      await file.writeFile(content);
      await file.sync();
    }),
  );
}

function issuedInvalid(what: string, cause?: unknown): KhwError {
  return new KhwError("CREDENTIAL_INVALID", `the certificate is refused: ${what}`, {
    hint: "run the command again; it makes a new request",
    cause,
  });
}
