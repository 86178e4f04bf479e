/** Creates certificates with the subjects from lab 04. Each certificate is valid or has exactly one defect. */
import { mkdir, mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";

import { must } from "./command.ts";

/** The common name and organization of each certificate from lab 04 that the control plane uses. */
const subjects = {
  admin: { commonName: "admin", organization: "system:masters" },
  "kube-controller-manager": {
    commonName: "system:kube-controller-manager",
    organization: "system:kube-controller-manager",
  },
  "kube-scheduler": { commonName: "system:kube-scheduler", organization: "system:kube-scheduler" },
  kubernetes: { commonName: "kubernetes", organization: "Kubernetes" },
  "service-account": { commonName: "service-accounts", organization: "Kubernetes" },
} as const;

/** The name of a certificate. The certificate is in `NAME.pem`, its key in `NAME-key.pem`. */
export type CertificateName = keyof typeof subjects;

/** The options of a new certificate. */
export interface IssueOptions {
  /** Subject alternative names as `DNS:...` or `IP:...`; no names by default. */
  readonly names?: readonly string[];
  /**
   * Days until the certificate expires; 365 by default, as in the lab. With a negative number, the certificate has
   * already expired.
   */
  readonly days?: number;
  /** The folder of the signing authority (`ca.pem`, `ca-key.pem`); the target folder by default. */
  readonly authority?: string;
  /** The length of the RSA key in bits; 2048 by default, as in the lab. */
  readonly bits?: number;
  /** Extensions that differ from the lab's, in OpenSSL's syntax: `{ keyUsage: "keyEncipherment" }`. */
  readonly extensions?: Readonly<Record<string, string>>;
  /** The digest algorithm of the signature; SHA-256 by default. */
  readonly digest?: string;
}

/** Creates a certificate authority (`ca.pem`, `ca-key.pem`) in the folder. Creates the folder if it does not exist. */
export async function makeAuthority(folder: string, keyUsage = "keyCertSign,cRLSign"): Promise<void> {
  await mkdir(folder, { recursive: true, mode: 0o700 });
  const key = await makeKey(folder, "ca");
  const subject = distinguishedName({ commonName: "Kubernetes", organization: "Kubernetes", unit: "CA" });
  const extensions = ["-addext", `keyUsage=critical,${keyUsage}`];
  const pem = join(folder, "ca.pem");
  await must([
    "openssl",
    "req",
    "-x509",
    "-new",
    "-key",
    key,
    "-subj",
    subject,
    "-days",
    "1825",
    ...extensions,
    "-out",
    pem,
  ]);
}

/**
 * Issues a certificate with a new key in the folder. Replaces the certificate if it exists. The options produce the
 * defects that tests need: an expired certificate (`days: -1`), a foreign authority (`authority`), or missing names
 * (`names`).
 */
export async function issue(folder: string, name: CertificateName, options: IssueOptions = {}): Promise<void> {
  const { names = [], days = 365, authority = folder, bits = 2048, digest = "sha256" } = options;
  const key = await makeKey(folder, name, bits);
  const subject = distinguishedName({ ...subjects[name], unit: "Kubernetes The Hard Way" });
  const request = await must(["openssl", "req", "-new", "-key", key, "-subj", subject]);
  const work = await mkdtemp(join(tmpdir(), "certificate-"));
  try {
    const extensions = join(work, "extensions");
    const wanted: Readonly<Record<string, string>> = {
      basicConstraints: "critical,CA:FALSE",
      keyUsage: "critical,digitalSignature,keyEncipherment",
      extendedKeyUsage: "serverAuth,clientAuth",
      ...(names.length === 0 ? {} : { subjectAltName: names.join(",") }),
      ...options.extensions,
    };
    const lines = Object.entries(wanted).map(([extension, value]) => `${extension}=${value}\n`);
    await writeFile(extensions, lines.join(""));
    const signer = ["-CA", join(authority, "ca.pem"), "-CAkey", join(authority, "ca-key.pem")];
    const argv = ["openssl", "x509", "-req", `-${digest}`, ...signer, "-days", String(days), "-extfile", extensions];
    await must([...argv, "-out", join(folder, `${name}.pem`)], { input: request });
  } finally {
    await rm(work, { recursive: true });
  }
}

/**
 * Creates a private key in the format that the labs' tool uses: 2048-bit RSA, PKCS #1, mode 0600. Tests also use this
 * function to create a mismatched key.
 */
export async function makeKey(folder: string, name: CertificateName | "ca", bits = 2048): Promise<string> {
  const file = join(folder, `${name}-key.pem`);
  await must(["openssl", "genrsa", "-traditional", "-out", file, String(bits)]);
  return file;
}

function distinguishedName(subject: { commonName: string; organization: string; unit: string }): string {
  const { commonName, organization, unit } = subject;
  return `/C=US/ST=Oregon/L=Portland/O=${organization}/OU=${unit}/CN=${commonName}`;
}
