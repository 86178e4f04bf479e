import type { CredentialName } from "../../proto/components.ts";
import { type DesiredState, hasEtcd, hasEtcdCa } from "../../proto/desired.ts";
import { KhwError } from "../../proto/errors.ts";
import { etcdServerFiles } from "../../proto/etcd.ts";
import type { Os } from "../os/os.ts";
import { credentialFile, etcdFile } from "../paths.ts";

/**
 * Finds files of another cluster that an Apply would irrecoverably overwrite: its CA, or the keys that encrypt its
 * Secrets. `kept` is the desired state that the agent currently keeps. Changes nothing.
 */
export async function otherCluster(desired: DesiredState, os: Os, kept: DesiredState | undefined): Promise<KhwError[]> {
  const findings = await Promise.all([
    authorityFinding(credentialFile("ca.pem"), { desired, os, kept }),
    ...(hasEtcd(desired) ? [etcdFinding({ desired, os, kept })] : []),
    encryptionFinding({ desired, os, kept }),
  ]);
  return findings
    .filter((finding) => finding !== null)
    .map((finding) => finding.at({ node: os.identity.name, step: "preflight" }));
}

interface OtherClusterOptions {
  readonly desired: DesiredState;
  readonly os: Os;
  readonly kept: DesiredState | undefined;
}

/**
 * Two bundles that share a certificate belong to the same CA. While a CA is being replaced, the bundle contains both
 * the old and the new certificate.
 */
async function authorityFinding(path: string, { desired, os, kept }: OtherClusterOptions): Promise<KhwError | null> {
  const wanted = contentOf(desired, "ca.pem");
  if (wanted === undefined || wanted === contentOf(kept, "ca.pem")) return null;
  const found = await textAt(path, os);
  if (certificates(found).length === 0 || shareCertificate(found, wanted)) return null;
  return new KhwError("PREFLIGHT_FAILED", `${path} is the CA of another cluster`, {
    hint: `${ownFiles}; to create a new cluster on this machine instead, first move ${path} on the machine to another folder`,
  });
}

/**
 * Checks that etcd on this machine and etcd with the new files trust a common CA. Otherwise, this member and the others
 * would refuse each other. The rotations of a CA keep such a CA in each stage.
 */
async function etcdFinding({ desired, os, kept }: OtherClusterOptions): Promise<KhwError | null> {
  const own = etcdFile("etcd-ca.pem");
  const path = (await os.files.stat(own)) === undefined ? etcdFile("ca.pem") : own;
  const { ca } = etcdServerFiles(hasEtcdCa(desired));
  if (path === etcdFile(ca) && ca === "ca.pem") return authorityFinding(path, { desired, os, kept });
  const [wanted, found] = [contentOf(desired, ca), await textAt(path, os)];
  if (wanted === undefined || certificates(found).length === 0 || shareCertificate(found, wanted)) return null;
  return new KhwError("PREFLIGHT_FAILED", `etcd trusts ${path}, which has no CA in common with the new ${ca}`, {
    hint:
      ca === "ca.pem"
        ? "set pki.separateEtcdCa: true in khw.yaml, and put the etcd-*.pem files back into the credentials folder; khw cannot move etcd back to the cluster's CA"
        : "to give a running etcd its own CA, move the etcd-*.pem files out of the credentials folder, and run khw-client pki rotate-etcd-ca",
  });
}

/** Whether two bundles contain the same certificate. */
export function shareCertificate(one: string, other: string): boolean {
  const known = certificates(other);
  return certificates(one).some((certificate) => known.includes(certificate));
}

/** Skips the check if the agent already keeps a desired state: changed keys are then an ordinary key rotation. */
async function encryptionFinding({ desired, os, kept }: OtherClusterOptions): Promise<KhwError | null> {
  const wanted = contentOf(desired, "encryption-config.yaml");
  if (wanted === undefined || kept !== undefined) return null;
  const path = credentialFile("encryption-config.yaml");
  const known = encryptionKeys(wanted);
  const lost = encryptionKeys(await textAt(path, os)).filter((key) => !known.includes(key));
  if (lost.length === 0) return null;
  return new KhwError(
    "PREFLIGHT_FAILED",
    `the new configuration lacks ${lost.length} of the encryption keys in ${path}`,
    {
      hint: `${ownFiles}, because values encrypted with the missing keys could no longer be read; if there are no such values, move ${path} on the machine to another folder`,
    },
  );
}

const ownFiles = "point --credentials at the folder that holds the files from which this machine's cluster was created";

function contentOf(desired: DesiredState | undefined, name: CredentialName): string | undefined {
  const content = desired?.credentials.find((credential) => credential.name === name)?.content;
  return content === undefined ? undefined : Buffer.from(content).toString("utf8");
}

async function textAt(path: string, { files }: Os): Promise<string> {
  return (await files.read(path))?.toString("utf8") ?? "";
}

/** Returns the base64 body of each certificate, without line breaks. */
function certificates(pem: string): string[] {
  const blocks = pem.matchAll(/-----BEGIN CERTIFICATE-----([^-]+)-----END CERTIFICATE-----/g);
  return [...blocks].map(([, body = ""]) => body.replaceAll(/\s/g, ""));
}

/** Returns the secret of each key, or the socket of the KMS plugin that holds the key. */
function encryptionKeys(config: string): string[] {
  const keys = config.matchAll(/\b(?:secret|endpoint)["']?\s*:\s*["']?([^\s"',}]+)/g);
  return [...keys].map(([, key = ""]) => key);
}
