import { hostname } from "node:os";
import { text } from "node:stream/consumers";
import { KhwError } from "../../proto/errors.ts";
import type { AgentConfig } from "../config.ts";
import { adoptCertificate } from "./adopt.ts";
import { proveKey } from "./request.ts";

const pemBlock = /-----BEGIN CERTIFICATE-----[^-]+-----END CERTIFICATE-----\n?/g;

/** Returns the signing request for the management CA. `khw-client install` fetches it over ssh. */
export async function newRequest({ identity, machine }: AgentConfig): Promise<string> {
  const { request } = await proveKey(identity, machine?.name ?? hostname());
  return request;
}

/** Reads the certificate that the management CA issued, and installs it as the agent's identity. */
export async function acceptCertificate({ identity, machine }: AgentConfig): Promise<void> {
  const [ca, certificate, ...more] = (await text(process.stdin)).match(pemBlock) ?? [];
  if (ca === undefined || certificate === undefined || more.length > 0) {
    throw new KhwError("INVALID_ARGUMENT", "standard input does not contain two certificates", {
      hint: "pass the management CA's certificate first, then the agent's certificate, both in PEM format",
    });
  }
  await adoptCertificate(identity, { ca, certificate, name: machine?.name });
}
