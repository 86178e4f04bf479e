import type { X509Certificate } from "node:crypto";
import type { TLSSocket } from "node:tls";
import { KhwError } from "../../proto/errors.ts";
import { type Role, roleOf } from "../../proto/roles.ts";
import { subjectOf } from "../../proto/subject.ts";

/** The caller on a connection, as identified by the certificate. */
export interface Authenticated {
  /** The certificate's serial number, in hex. */
  readonly serial: string;
  readonly role: Role | undefined;
}

/**
 * Reads the peer's certificate, which the handshake has already verified.
 * @throws KhwError UNAUTHENTICATED unless the peer has a certificate that is currently valid, is signed by the
 * management CA, and was issued for callers
 */
export function authenticate(socket: TLSSocket): Authenticated {
  const certificate = socket.getPeerX509Certificate();
  if (certificate === undefined) {
    throw refusal(
      "the caller presents no certificate",
      "issue a certificate from the management CA with `khw-client pki issue`",
    );
  }
  if (!socket.authorized) throw unauthorized(String(socket.authorizationError), certificate);
  const { O: organizations } = subjectOf(certificate);
  return { serial: certificate.serialNumber, role: roleOf(organizations) };
}

const makeAnother = "issue a new certificate with `khw-client pki issue`";

/**
 * Describes OpenSSL's error code. The text contains no names from the certificate, because the certificate is not
 * trusted.
 */
function unauthorized(code: string, { validFrom, validTo }: X509Certificate): KhwError {
  const now = new Date().toISOString();
  switch (code) {
    case "CERT_HAS_EXPIRED":
      return refusal(
        `the caller's certificate expired at ${iso(validTo)}`,
        `${makeAnother}; the agent's clock says ${now}: correct it if it is wrong`,
      );
    case "CERT_NOT_YET_VALID":
      return refusal(
        `the caller's certificate is not valid before ${iso(validFrom)}`,
        `the agent's clock says ${now}: if that is wrong, fix the agent's clock; otherwise, fix the clock of the machine that issued the certificate`,
      );
    case "INVALID_PURPOSE":
      return refusal("the caller's certificate was not issued for callers", makeAnother);
    default:
      return refusal(
        `the caller's certificate is not signed by the management CA that the agent trusts (${code})`,
        "fix `management` in khw.yaml, or run `khw-client install` to replace the agent's CA",
      );
  }
}

function refusal(message: string, hint: string): KhwError {
  return new KhwError("UNAUTHENTICATED", message, { hint });
}

function iso(time: string): string {
  const date = new Date(time);
  return Number.isNaN(date.getTime()) ? "an unreadable time" : date.toISOString();
}
