import { identityFiles, type NewFiles } from "../folder.ts";
import type { KeyAlgorithm } from "../keys.ts";
import { createClusterAuthority, issueFrontProxyClient } from "./issue.ts";
import { authorityIn, pairIn, type PresentFiles } from "./present.ts";

/** The base names of the files of the front-proxy CA, and of the only certificate that this CA issues. */
export const frontProxyAuthority = "front-proxy-ca";
export const frontProxyClient = "front-proxy-client";

/** The settings for creating the front-proxy CA and its certificate. */
export interface FrontProxyPki {
  readonly algorithm: KeyAlgorithm;
  readonly days: number;
  readonly caDays: number;
}

/**
 * Creates the missing files of the aggregation layer in memory so that they match the existing files.
 * @throws KhwError CREDENTIAL_INVALID for existing files that do not belong together; otherwise as signCertificate does
 */
export async function createFrontProxy(present: PresentFiles, pki: FrontProxyPki, now: Date): Promise<NewFiles> {
  const isMissing = pairIn(present, frontProxyClient) === undefined;
  const [toSign, signed] = isMissing ? [[frontProxyClient], []] : [[], [frontProxyClient]];
  const found = authorityIn(present, { name: frontProxyAuthority, toSign, signed, now });
  if (!isMissing) return {};
  const { algorithm, caDays } = pki;
  const authority = found ?? (await createClusterAuthority("front proxy", { algorithm, days: caDays }, now));
  const client = await issueFrontProxyClient(authority, pki, { now, daysField: "pki.days" });
  return {
    ...(found === undefined ? identityFiles(frontProxyAuthority, authority) : {}),
    ...identityFiles(frontProxyClient, client),
  };
}

/**
 * Creates a new key and certificate for the aggregation layer in memory. Returns no files if the folder has neither the
 * front-proxy CA nor its certificate.
 * @throws KhwError CREDENTIAL_INVALID if the front-proxy CA cannot sign
 */
export async function renewFrontProxy(present: PresentFiles, pki: FrontProxyPki, now: Date): Promise<NewFiles> {
  const signed = present.has(`${frontProxyClient}.pem`) ? [frontProxyClient] : [];
  const authority = authorityIn(present, { name: frontProxyAuthority, toSign: [frontProxyClient], signed, now });
  if (authority === undefined) return {};
  return identityFiles(frontProxyClient, await issueFrontProxyClient(authority, pki, { now, daysField: "pki.days" }));
}
