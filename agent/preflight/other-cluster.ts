import type { CredentialName } from "../../proto/components.ts";
import { type DesiredState, hasEtcd, hasEtcdCa } from "../../proto/desired.ts";
import { KhwError } from "../../proto/errors.ts";
import { etcdServerFiles } from "../../proto/etcd.ts";
import { certificatesIn, isTrusted, shareCertificate } from "../certificates/shared.ts";
import type { Os } from "../os/os.ts";
import { credentialFile, etcdFile } from "../paths.ts";

/**
 * Finds irreplaceable files of another cluster that an Apply would overwrite: the CA, or the keys that encrypt Secrets.
 * `kept` is the desired state that the agent currently keeps. Changes nothing.
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
  if (certificatesIn(found).length === 0 || shareCertificate(found, wanted)) return null;
  return new KhwError("PREFLIGHT_FAILED", `${path} is the CA of another cluster`, {
    hint: `${ownFiles}; to create a new cluster on this machine instead, first move ${path} on the machine to another folder`,
  });
}

/**
 * Checks that the etcd members would still accept each other while they receive these files one after another. Every
 * stage of a CA rotation meets this condition.
 */
async function etcdFinding({ desired, os, kept }: OtherClusterOptions): Promise<KhwError | null> {
  const hasOwn = (await os.files.stat(etcdFile("etcd-ca.pem"))) !== undefined;
  const running = etcdServerFiles(hasOwn);
  const path = etcdFile(running.ca);
  const { ca, certificate } = etcdServerFiles(hasEtcdCa(desired));
  if (ca === "ca.pem") return hasOwn ? movedBack(path) : authorityFinding(path, { desired, os, kept });
  const [wanted, found] = [contentOf(desired, ca), await textAt(path, os)];
  if (wanted === undefined || certificatesIn(found).length === 0) return null;
  if (!shareCertificate(found, wanted)) {
    return new KhwError("PREFLIGHT_FAILED", `etcd trusts ${path}, which has no CA in common with the new ${ca}`, {
      hint: "to give a running etcd its own CA, move the etcd-*.pem files out of the credentials folder, and run khw-client pki rotate-etcd-ca",
    });
  }
  if (wanted === contentOf(kept, ca)) return null;
  const present = etcdFile(running.certificate);
  if (isTrusted(await textAt(present, os), wanted) === false) {
    return new KhwError("PREFLIGHT_FAILED", `no CA in the new ${ca} has signed ${present}, which etcd uses`, {
      hint: `${newestFiles}; if this machine was restored from an old copy, move ${present} on the machine to another folder`,
    });
  }
  if (isTrusted(contentOf(desired, certificate) ?? "", found) === false) {
    return new KhwError("PREFLIGHT_FAILED", `no CA in ${path}, which etcd trusts, has signed the new ${certificate}`, {
      hint: newestFiles,
    });
  }
  return null;
}

const newestFiles =
  "put the newest etcd-*.pem files of this cluster into the credentials folder: khw-client pki show shows whether a rotation is under way";

/** Without the CA that the other members use, this member could not connect to them. */
function movedBack(path: string): KhwError {
  return new KhwError("PREFLIGHT_FAILED", `etcd trusts its own CA, ${path}, but the new files have no etcd-ca.pem`, {
    hint: "set pki.separateEtcdCa: true in khw.yaml, and put the etcd-*.pem files back into the credentials folder; khw cannot move etcd back to the cluster's CA",
  });
}

/**
 * Skips the check if the agent already keeps a desired state, because changed keys then mean an ordinary key rotation.
 */
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

/** Returns the secret of each key, or the socket of the KMS plugin that holds the key. */
function encryptionKeys(config: string): string[] {
  const keys = config.matchAll(/\b(?:secret|endpoint)["']?\s*:\s*["']?([^\s"',}]+)/g);
  return [...keys].map(([, key = ""]) => key);
}
