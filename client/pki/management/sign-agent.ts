import { X509Certificate } from "node:crypto";
import { readAuthority } from "../folder.ts";
import { issueFor } from "./issue.ts";
import type { Identity } from "./issue.ts";
import { addToRegister, readRegister, refuseRevoked } from "./register.ts";
import { readRequest } from "./request.ts";
import type { SigningRequest } from "./request.ts";

/** Signs agents' requests with the management CA. The CA's key stays in memory while this object exists. */
export interface Signer {
  /** The CA's certificate, in PEM. */
  readonly ca: string;
  /**
   * Issues a certificate for the request's key and the node's name. Records the certificate, then returns it in PEM.
   * @throws KhwError PERMISSION_DENIED for a revoked name, CREDENTIAL_INVALID for a bad request
   */
  sign(name: string, request: string | SigningRequest): Promise<string>;
}

export interface SignerOptions {
  /** The folder of the management identities. */
  readonly folder: string;
  /** The validity of a certificate in days. */
  readonly days: number;
}

/** @throws KhwError CREDENTIAL_INVALID if the CA's key is not in the folder */
export async function openSigner({ folder, days }: SignerOptions): Promise<Signer> {
  const authority = await readAuthority(folder);
  return { ca: authority.certificate, sign: (name, request) => signFor(name, request, { authority, folder, days }) };
}

async function signFor(
  name: string,
  request: string | SigningRequest,
  { authority, folder, days }: SignerOptions & { readonly authority: Identity },
): Promise<string> {
  refuseRevoked(await readRegister(folder), name);
  const { publicKey } = typeof request === "string" ? await readRequest(request) : request;
  const now = new Date();
  const certificate = await issueFor(publicKey, { authority, request: { name, role: "agent", days }, now });
  const serial = new X509Certificate(certificate).serialNumber;
  await addToRegister(folder, { event: "issued", at: now.toISOString(), name, serial });
  return certificate;
}

/** Whether the certificate is past two thirds of its lifetime and should be renewed. */
export function isDue({ validFromDate, validToDate }: X509Certificate, now: number): boolean {
  const [from, to] = [validFromDate.getTime(), validToDate.getTime()];
  return now >= from + ((to - from) * 2) / 3;
}
