import { X509Certificate, createPrivateKey } from "node:crypto";
import { readFile, rename } from "node:fs/promises";
import { dirname } from "node:path";
import { orAbsent } from "../os/io.ts";
import { syncFolder } from "../os/durable.ts";

/** Where an agent's identity is: the management CA's certificate, the agent's own, and its key; paths of PEM files. */
export interface IdentityPaths {
  readonly ca: string;
  readonly certificate: string;
  readonly key: string;
}

/**
 * Where the next identity is made, beside the present one: first the key, then, once the certificate has come and was found
 * good, the CA's certificate and last the certificate itself. From then on it is decided that the next becomes the present.
 */
export function nextOf({ ca, certificate, key }: IdentityPaths): IdentityPaths {
  return { ca: `${ca}.next`, certificate: `${certificate}.next`, key: `${key}.next` };
}

/**
 * Puts the next identity in the present one's place, where that was decided: also what a crash left half-way. Afterwards there
 * is no next certificate. Another process may be at the same: what is gone has been put in place.
 */
export async function settleIdentity(paths: IdentityPaths): Promise<void> {
  const next = nextOf(paths);
  const certificate = await orAbsent(() => readFile(next.certificate));
  if (certificate === undefined) return;
  const key = await orAbsent(() => readFile(next.key));
  // A key that was made since then is for a later certificate.
  if (key !== undefined && new X509Certificate(certificate).checkPrivateKey(createPrivateKey(key))) {
    await orAbsent(() => rename(next.key, paths.key));
  }
  await orAbsent(() => rename(next.ca, paths.ca));
  await orAbsent(() => rename(next.certificate, paths.certificate));
  await syncFolder(dirname(paths.certificate));
}
