import { createHash } from "node:crypto";

/** The key of the instance's metadata that holds the management CA's certificate, in PEM. */
export const managementCaAttribute = "khw-management-ca";

export const nonceBytes = 32;

/** What an identity token is for: this one answer to this one question. The request is DER. */
export function tokenAudience(nonce: Uint8Array, request: Uint8Array): string {
  return `urn:khw:enrol:v1:${createHash("sha256").update(nonce).update(request).digest("hex")}`;
}

/** The bytes of a PEM text's only block. */
export function derOf(pem: string): Buffer {
  return Buffer.from(pem.replaceAll(/-----[^-]+-----|\s/g, ""), "base64");
}
