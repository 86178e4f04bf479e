import { X509Certificate, createPrivateKey } from "node:crypto";
import { readFile, rename } from "node:fs/promises";
import { dirname } from "node:path";
import { orAbsent } from "../os/io.ts";
import { syncFolder } from "../os/durable.ts";

/**
 * The paths of an agent's identity: the management CA's certificate, the agent's certificate, and its key (PEM).
 */
export interface IdentityPaths {
  readonly ca: string;
  readonly certificate: string;
  readonly key: string;
}

/**
 * Returns the paths of the next identity. Its files are in the same folders as the files of the current identity. The
 * key is generated first. When a good certificate arrives, the CA's certificate is written, then the agent's
 * certificate. The next identity is then complete, and will replace the current one.
 */
export function nextOf({ ca, certificate, key }: IdentityPaths): IdentityPaths {
  return { ca: `${ca}.next`, certificate: `${certificate}.next`, key: `${key}.next` };
}

/**
 * Replaces the current identity with the next one, if the next one is complete. Also finishes a replacement that a
 * crash interrupted. Afterwards there is no next certificate. Another process may replace the identity at the same
 * time, so a missing file counts as already moved.
 */
export async function settleIdentity(paths: IdentityPaths): Promise<void> {
  const next = nextOf(paths);
  const certificate = await orAbsent(() => readFile(next.certificate));
  if (certificate === undefined) return;
  const key = await orAbsent(() => readFile(next.key));
  // A key that does not match the certificate is newer, and belongs to a later certificate.
  if (key !== undefined && new X509Certificate(certificate).checkPrivateKey(createPrivateKey(key))) {
    await orAbsent(() => rename(next.key, paths.key));
  }
  await orAbsent(() => rename(next.ca, paths.ca));
  await orAbsent(() => rename(next.certificate, paths.certificate));
  await syncFolder(dirname(paths.certificate));
}
