import { X509Certificate } from "node:crypto";
import type { CredentialName } from "../../proto/components.ts";
import type { Os } from "../os/os.ts";
import type { ProbeResult } from "../os/probes.ts";
import type { ServedCertificate } from "../os/served-certificate.ts";
import { credentialFile, etcdFile } from "../paths.ts";

/** The files from which the servers on a controller read their certificates. */
const servedFiles = [credentialFile("kubernetes.pem"), etcdFile("kubernetes.pem"), etcdFile("etcd-server.pem")];

/** Two timestamps that differ by more than this cannot come from the same clock. */
const clockMillis = 60_000;

/**
 * Explains why TLS failed although the server is running. The text identifies the server's certificate by file, subject
 * and validity period. The text also states the time on this machine's clock if the certificate is not valid at that
 * time.
 * @param clientCertificate the agent's client certificate, which the text names if the server rejects it
 */
export async function explainTls(
  { failure, body, certificate }: ProbeResult,
  { files, clock, clientCertificate }: Pick<Os, "files" | "clock"> & { readonly clientCertificate: CredentialName },
): Promise<string> {
  if (failure === "rejected") return `${body}: it does not accept ${credentialFile(clientCertificate)}`;
  if (certificate === undefined) return body;
  const { subject, validFrom, validTo } = certificate;
  const place = (await fileOf(certificate, files)) ?? "a certificate that no file on this machine contains";
  const period = `valid from ${time(validFrom)} to ${time(validTo)}`;
  return `${body}: ${place} (${subject}), ${period}${aboutClock(certificate, clock.now())}`;
}

async function fileOf({ fingerprint }: ServedCertificate, files: Os["files"]): Promise<string | undefined> {
  for (const path of servedFiles) {
    const pem = await files.readOften(path).catch(() => undefined);
    if (pem !== undefined && fingerprintOf(pem) === fingerprint) return path;
  }
  return undefined;
}

function fingerprintOf(pem: Buffer): string | undefined {
  try {
    return new X509Certificate(pem).fingerprint256;
  } catch {
    // The file is damaged, so the server's certificate is not from this file.
    return undefined;
  }
}

/** Describes the clock if the certificate seems expired or not yet valid, because the clock may be wrong. */
function aboutClock({ validFrom, validTo, serverTime }: ServedCertificate, now: number): string {
  if (validFrom <= now && now <= validTo) return "";
  if (serverTime === undefined || Math.abs(serverTime - now) <= clockMillis) {
    return `; this machine's clock says ${time(now)}`;
  }
  return `; the agent's clock says ${time(now)}, but the server's clock says ${time(serverTime)}: the agent's clock is wrong`;
}

function time(millis: number): string {
  return new Date(millis).toISOString().replace(/\.\d+Z$/, "Z");
}
