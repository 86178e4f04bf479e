import { createHash } from "node:crypto";

/** The key in an instance's metadata that holds the management CA's certificate, in PEM. */
export const managementCaAttribute = "khw-management-ca";

export const nonceBytes = 32;

/**
 * Returns the audience for an identity token. The audience binds the token to this nonce and this signing request (in
 * DER).
 */
export function tokenAudience(nonce: Uint8Array, request: Uint8Array): string {
  return `urn:khw:enrol:v1:${createHash("sha256").update(nonce).update(request).digest("hex")}`;
}

/** Returns the decoded bytes of PEM text that contains a single block. */
export function derOf(pem: string): Buffer {
  return Buffer.from(pem.replaceAll(/-----[^-]+-----|\s/g, ""), "base64");
}
