import { X509Certificate, createPrivateKey } from "node:crypto";
import { readFile, stat } from "node:fs/promises";
import { KhwError } from "../../proto/errors.ts";
import { isSignedByAny, parseAuthorities } from "./authorities.ts";
import type { IdentityPaths } from "./next.ts";
import { orAbsent } from "../os/io.ts";

/** The extended key usage of a TLS server (RFC 5280, id-kp-serverAuth). */
export const serverUsage = "1.3.6.1.5.5.7.3.1";

/**
 * The state of the agent's identity. The agent serves callers only with a good identity, but supervises the machine in
 * every state.
 */
export type IdentityState =
  | { readonly kind: "absent" }
  | { readonly kind: "good"; readonly certificate: X509Certificate }
  /** According to this machine's clock, which may be wrong, the certificate has expired or is not valid yet. */
  | { readonly kind: "expired" | "early"; readonly reason: string }
  /** The files do not match, or cannot be read. */
  | { readonly kind: "unusable"; readonly reason: string };

/**
 * Checks the agent's own identity. The certificate must be signed by the management CA, be issued for an agent, be
 * currently valid, and match the key. The key file must be accessible only to its owner.
 * @throws KhwError CREDENTIAL_INVALID with the file and a remedy
 */
export async function checkIdentity(paths: IdentityPaths): Promise<void> {
  const own = await readFitting(paths);
  const now = new Date();
  if (own.validToDate < now) throw identityInvalid(paths.certificate, `expired on ${own.validToDate.toISOString()}`);
  if (own.validFromDate > now) {
    throw identityInvalid(paths.certificate, `is valid only from ${own.validFromDate.toISOString()}`);
  }
}

/**
 * Determines the state of the identity. Does not throw if the files are invalid, because the agent can supervise its
 * machine without serving callers.
 */
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
  const authorities = await readPem(ca, (pem) => parseAuthorities(pem.toString("utf8")));
  const own = await readPem(certificate, (pem) => new X509Certificate(pem));
  const privateKey = await readPem(key, (pem) => createPrivateKey(pem));
  if (!isSignedByAny(own, authorities)) throw identityInvalid(certificate, `is not signed by the CA in ${ca}`);
  if (!own.checkPrivateKey(privateKey)) throw identityInvalid(key, `is not the key for ${certificate}`);
  if (!(own.keyUsage ?? [serverUsage]).includes(serverUsage))
    throw identityInvalid(certificate, "is issued for callers, not for an agent");
  if (((await stat(key)).mode & 0o077) !== 0)
    throw identityInvalid(key, "can be read by users other than its owner", { hint: `chmod 0600 ${key}` });
  return own;
}

async function readPem<Value>(path: string, parse: (pem: Buffer) => Value): Promise<Value> {
  try {
    return parse(await readFile(path));
  } catch (cause) {
    throw identityInvalid(path, cause instanceof Error ? cause.message : String(cause), { cause });
  }
}

function identityInvalid(
  path: string,
  what: string,
  {
    hint = "make one with `khw-client pki issue NAME --role agent`",
    cause,
  }: { readonly hint?: string; readonly cause?: unknown } = {},
): KhwError {
  return new KhwError("CREDENTIAL_INVALID", `${path}: ${what}`, { hint, cause });
}
