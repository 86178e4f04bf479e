import type { webcrypto } from "node:crypto";
import { KhwError } from "../../../proto/errors.ts";
import { loadX509 } from "../x509.ts";

/** The public key in a node's signing request (PKCS #10). khw does not use any other part of the request. */
export interface SigningRequest {
  readonly publicKey: webcrypto.CryptoKey;
  /** The key as SubjectPublicKeyInfo, and the whole request. Both are in DER. */
  readonly spki: Buffer;
  readonly der: Buffer;
}

const algorithm = { name: "ECDSA", namedCurve: "P-256" };

/**
 * Checks that the request contains an ECDSA key on P-256, and that the request was signed with this key. Ignores names,
 * usages and extensions in the request, because the signer determines the node's identity.
 * @throws KhwError CREDENTIAL_INVALID
 */
export async function readRequest(pem: string): Promise<SigningRequest> {
  const x509 = await loadX509();
  try {
    const request = new x509.Pkcs10CertificateRequest(pem);
    const spki = Buffer.from(request.publicKey.rawData);
    const publicKey = await request.publicKey.export(algorithm, ["verify"]);
    if (!(await request.verify())) throw new Error("it is not signed with its own key");
    return { publicKey, spki, der: Buffer.from(request.rawData) };
  } catch (cause) {
    const reason = cause instanceof Error ? cause.message : String(cause);
    throw new KhwError("CREDENTIAL_INVALID", `the node's signing request cannot be used: ${reason}`, {
      hint: "run khw-client install to give the node the khw-agent version that matches this client",
      cause,
    });
  }
}
