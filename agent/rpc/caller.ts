import type { ServerUnaryCall } from "@grpc/grpc-js";
import { KhwError } from "../../proto/errors.ts";
import { type Role, roleOf } from "../../proto/roles.ts";

type AuthContext = ReturnType<ServerUnaryCall<unknown, unknown>["getAuthContext"]>;

export interface Caller {
  readonly name: string;
  readonly role: Role | undefined;
  /** The certificate's serial number, in hex. */
  readonly serial: string;
  readonly validToUnixMillis: number;
}

/** Returns the caller that the certificate identifies; undefined if there is no certificate. */
export function callerOf({ sslPeerCertificate: certificate }: AuthContext): Caller | undefined {
  if (certificate === undefined) return undefined;
  const { CN: names, O: organization } = certificate.subject;
  return {
    name: [names].flat().join(" "),
    role: roleOf(organization),
    serial: certificate.serialNumber,
    validToUnixMillis: Date.parse(certificate.valid_to),
  };
}

/** Returns an error if the caller's certificate has expired; undefined while it is valid. */
export function expiry({ name, serial, validToUnixMillis }: Caller): KhwError | undefined {
  const now = Date.now();
  if (now < validToUnixMillis) return undefined;
  const ended = Number.isNaN(validToUnixMillis)
    ? "at an unreadable time"
    : `at ${new Date(validToUnixMillis).toISOString()}`;
  const clock = new Date(now).toISOString();
  return new KhwError("UNAUTHENTICATED", `certificate ${serial} of ${name} expired ${ended}`, {
    hint: `issue a new certificate with \`khw-client pki issue\`; the agent's clock says ${clock}: correct it if it is wrong`,
  });
}
