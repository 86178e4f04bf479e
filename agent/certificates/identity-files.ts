import { X509Certificate, createPrivateKey } from "node:crypto";
import { readFile, stat } from "node:fs/promises";
import { KhwError } from "../../proto/errors.ts";
import type { IdentityPaths } from "./next.ts";
import { orAbsent } from "../os/io.ts";

/** The extended key usage of a TLS server (RFC 5280, id-kp-serverAuth). */
export const serverUsage = "1.3.6.1.5.5.7.3.1";

/** The state of the agent's identity. Only a good one is served; with every other the agent keeps supervising. */
export type IdentityState =
  | { readonly kind: "absent" }
  | { readonly kind: "good"; readonly certificate: X509Certificate }
  /** The clock says that it has expired, or that it is not valid yet: the clock may be wrong. */
  | { readonly kind: "expired" | "early"; readonly reason: string }
  /** Its files do not fit together, or cannot be read. */
  | { readonly kind: "unusable"; readonly reason: string };

/**
 * The agent's own identity fits together: the certificate is of the management CA, good for an agent, valid now, and
 * belongs to the key, which nobody but root may read.
 * @throws KhwError CREDENTIAL_INVALID naming the file and the remedy
 */
export async function checkIdentity(paths: IdentityPaths): Promise<void> {
  const own = await readFitting(paths);
  const now = new Date();
  if (own.validToDate < now) throw invalid(paths.certificate, `expired on ${own.validToDate.toISOString()}`);
  if (own.validFromDate > now) {
    throw invalid(paths.certificate, `is valid only from ${own.validFromDate.toISOString()}`);
  }
}

/** Never fails because of faulty files: the agent looks after its machine, also without callers. */
export async function lookAtIdentity(paths: IdentityPaths): Promise<IdentityState> {
  if ((await orAbsent(() => stat(paths.certificate))) === undefined) return { kind: "absent" };
  let certificate: X509Certificate;
  try {
    certificate = await readFitting(paths);
  } catch (error) {
    if (!(error instanceof KhwError)) throw error;
    return { kind: "unusable", reason: error.message };
  }
  const { validFromDate, validToDate } = certificate;
  const now = new Date();
  const clock = `and this machine's clock says ${now.toISOString()}`;
  if (validToDate < now) {
    return { kind: "expired", reason: `${paths.certificate} expired on ${validToDate.toISOString()}, ${clock}` };
  }
  if (validFromDate > now) {
    return {
      kind: "early",
      reason: `${paths.certificate} is valid only from ${validFromDate.toISOString()}, ${clock}`,
    };
  }
  return { kind: "good", certificate };
}

async function readFitting({ ca, certificate, key }: IdentityPaths): Promise<X509Certificate> {
  const authority = await readPem(ca, (pem) => new X509Certificate(pem));
  const own = await readPem(certificate, (pem) => new X509Certificate(pem));
  const privateKey = await readPem(key, (pem) => createPrivateKey(pem));
  if (!own.verify(authority.publicKey)) throw invalid(certificate, `is not signed by the CA in ${ca}`);
  if (!own.checkPrivateKey(privateKey)) throw invalid(key, `is not the key of ${certificate}`);
  if (!(own.keyUsage ?? [serverUsage]).includes(serverUsage))
    throw invalid(certificate, "is for calling agents, not for being one");
  if (((await stat(key)).mode & 0o077) !== 0)
    throw invalid(key, "may be read by others than its owner", `chmod 0600 ${key}`);
  return own;
}

async function readPem<Value>(path: string, parse: (pem: Buffer) => Value): Promise<Value> {
  try {
    return parse(await readFile(path));
  } catch (cause) {
    throw invalid(path, cause instanceof Error ? cause.message : String(cause), undefined, cause);
  }
}

function invalid(
  path: string,
  what: string,
  hint = "make one with `khw-client pki issue NAME --role agent`",
  cause?: unknown,
): KhwError {
  return new KhwError("CREDENTIAL_INVALID", `${path}: ${what}`, { hint, cause });
}
