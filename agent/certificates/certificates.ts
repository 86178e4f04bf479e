import { X509Certificate } from "node:crypto";
import { type Certificate, CertificateState } from "../../proto/gen/khw/agent/v1/agent.ts";
import { dayMillis, utcDay } from "../../proto/time.ts";

const warningDays = 30;
const errorDays = 7;

const pemBlock = /-----BEGIN CERTIFICATE-----[\s\S]*?-----END CERTIFICATE-----/g;
const kubeconfigData = /"?(?:certificate-authority|client-certificate)-data"?:\s*"?([A-Za-z0-9+/=]+)/g;

/** Whether a file contains certificates, judging only by its name. This check does not open key files. */
export function holdsCertificates(name: string): boolean {
  return name.endsWith(".kubeconfig") || (name.endsWith(".pem") && !name.endsWith("-key.pem"));
}

/**
 * Returns the certificates in a PEM file or a kubeconfig. If the file contains no certificate, returns an entry that
 * says so.
 */
export function judgeCertificates(path: string, content: string, now: number): Certificate[] {
  const pems = path.endsWith(".kubeconfig") ? embedded(content) : (content.match(pemBlock) ?? []);
  if (pems.length === 0) return [unreadableFile(path, "it contains no certificate")];
  const bySubject = new Map<string, Certificate>();
  for (const pem of pems) {
    const certificate = readOne(path, pem, now);
    const known = bySubject.get(certificate.subject);
    // If several certificates have the same subject, only the first to expire is reported.
    if (known === undefined || certificate.expiresUnixMillis < known.expiresUnixMillis) {
      bySubject.set(certificate.subject, certificate);
    }
  }
  return [...bySubject.values()];
}

export function unreadableFile(path: string, why: string): Certificate {
  const state = CertificateState.CERTIFICATE_STATE_ERROR;
  return { path, subject: "", expiresUnixMillis: 0, state, reason: `it cannot be read: ${why}` };
}

function embedded(kubeconfig: string): string[] {
  return [...kubeconfig.matchAll(kubeconfigData)].flatMap(([, data = ""]) => {
    const pem = Buffer.from(data, "base64").toString("latin1");
    return pem.match(pemBlock) ?? [pem];
  });
}

function readOne(path: string, pem: string, now: number): Certificate {
  let parsed: X509Certificate;
  try {
    parsed = new X509Certificate(pem);
  } catch {
    // OpenSSL's own message would not help the user.
    return unreadableFile(path, "it is damaged");
  }
  // OpenSSL lists the parts of a name starting from the root, but the usual notation is the reverse.
  const subject = parsed.subject.split("\n").toReversed().join(",");
  const [from, expiresUnixMillis] = [parsed.validFromDate.getTime(), parsed.validToDate.getTime()];
  return { path, subject, expiresUnixMillis, ...judge({ from, to: expiresUnixMillis, now }) };
}

/**
 * Returns the next time at which a certificate's state or reason changes merely because time passes; Infinity if there
 * is no such time.
 */
export function nextChange(certificates: readonly Certificate[], now: number): number {
  const times = certificates.flatMap(({ state, expiresUnixMillis: to }) => {
    const [warning, error] = [to - warningDays * dayMillis, to - errorDays * dayMillis];
    // An error state with an expiry far in the future means that the certificate is not valid yet. This function does
    // not know when it becomes valid.
    if (state === CertificateState.CERTIFICATE_STATE_ERROR && error > now) return [now];
    return [warning, error, to].filter((time) => time > now);
  });
  return Math.min(...times);
}

/** Judges a certificate by its validity period. All times are in milliseconds since the epoch. */
function judge({
  from,
  to,
  now,
}: Readonly<Record<"from" | "to" | "now", number>>): Pick<Certificate, "state" | "reason"> {
  if (to <= now)
    return { state: CertificateState.CERTIFICATE_STATE_ERROR, reason: `it expired on ${utcDay(new Date(to))}` };
  if (from > now) {
    return {
      state: CertificateState.CERTIFICATE_STATE_ERROR,
      reason: `it is not valid before ${utcDay(new Date(from))}`,
    };
  }
  const left = to - now;
  if (left > warningDays * dayMillis) return { state: CertificateState.CERTIFICATE_STATE_OK, reason: "" };
  const reason = `it expires on ${utcDay(new Date(to))}`;
  const near = left <= errorDays * dayMillis;
  return {
    state: near ? CertificateState.CERTIFICATE_STATE_ERROR : CertificateState.CERTIFICATE_STATE_WARNING,
    reason,
  };
}
