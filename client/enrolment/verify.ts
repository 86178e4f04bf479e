import type { X509Certificate } from "node:crypto";
import { tokenAudience } from "../../proto/enrolment.ts";
import { KhwError } from "../../proto/errors.ts";
import { readRequest, type SigningRequest } from "../pki/management/request.ts";
import type { KeySet } from "./jwks.ts";
import { type ExpectedToken, verifyIdentityToken } from "./token.ts";

/** An agent's signing request, and the certificate of the connection that delivered the request. */
export interface SignedAnswer {
  readonly request: string;
  readonly identityToken: string;
  readonly peer: X509Certificate;
}

export interface ExpectedAnswer {
  /** The random bytes that the client sent. */
  readonly nonce: Buffer;
  readonly keys: KeySet;
  readonly instance: Omit<ExpectedToken, "audience">;
}

/**
 * Returns the signing request after verifying that the instance created it. Google's token binds the instance to the
 * request and to the client's nonce. The connection uses the request's key, so no other machine can be intercepting the
 * connection.
 * @throws KhwError CREDENTIAL_INVALID, WRONG_NODE, IDENTITY_MISMATCH
 */
export async function verifyAnswer(
  { request: pem, identityToken, peer }: SignedAnswer,
  { nonce, keys, instance }: ExpectedAnswer,
): Promise<SigningRequest> {
  const request = await readRequest(pem);
  if (!peer.publicKey.export({ type: "spki", format: "der" }).equals(request.spki)) {
    throw new KhwError("WRONG_NODE", "the connection was not made with the key of the signing request", {
      hint: "nothing was signed; check the network: another machine may be intercepting the connection",
    });
  }
  await verifyIdentityToken(identityToken, keys, { ...instance, audience: tokenAudience(nonce, request.der) });
  return request;
}
