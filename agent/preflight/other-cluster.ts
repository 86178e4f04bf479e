import type { CredentialName } from "../../proto/components.ts";
import { type DesiredState, hasEtcd } from "../../proto/desired.ts";
import { KhwError } from "../../proto/errors.ts";
import type { Os } from "../os/os.ts";
import { credentialFile, etcdFile } from "../paths.ts";

/**
 * Finds parts of another cluster that an Apply would overwrite permanently: its CA, or the keys that encrypt its
 * Secrets. `kept` is the current desired state. Changes nothing.
 */
export async function otherCluster(desired: DesiredState, os: Os, kept: DesiredState | undefined): Promise<KhwError[]> {
  const authorities = [credentialFile("ca.pem"), ...(hasEtcd(desired) ? [etcdFile("ca.pem")] : [])];
  const findings = await Promise.all([
    ...authorities.map((path) => authorityFinding(path, { desired, os, kept })),
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
 * Two bundles with a certificate in common belong to the same authority. When a CA is replaced, a bundle contains the
 * old and the new certificate.
 */
async function authorityFinding(path: string, { desired, os, kept }: OtherClusterOptions): Promise<KhwError | null> {
  const wanted = contentOf(desired, "ca.pem");
  if (wanted === undefined || wanted === contentOf(kept, "ca.pem")) return null;
  const found = certificates(await textAt(path, os));
  const known = certificates(wanted);
  if (found.length === 0 || found.some((certificate) => known.includes(certificate))) return null;
  return new KhwError("PREFLIGHT_FAILED", `${path} is another cluster's CA`, {
    hint: `${ownFiles}; for a new cluster on this machine, first move ${path} out of the way on the machine`,
  });
}

/** If the agent keeps a desired state, changed keys are a normal rotation. */
async function encryptionFinding({ desired, os, kept }: OtherClusterOptions): Promise<KhwError | null> {
  const wanted = contentOf(desired, "encryption-config.yaml");
  if (wanted === undefined || kept !== undefined) return null;
  const path = credentialFile("encryption-config.yaml");
  const known = encryptionKeys(wanted);
  const lost = encryptionKeys(await textAt(path, os)).filter((key) => !known.includes(key));
  if (lost.length === 0) return null;
  return new KhwError(
    "PREFLIGHT_FAILED",
    `${path} has encryption keys that the new configuration lacks: ${lost.length}`,
    {
      hint: `${ownFiles}, because values stored with these keys could no longer be read; if no values are stored, first move ${path} out of the way on the machine`,
    },
  );
}

const ownFiles = "point --credentials at the folder with the files that the cluster on this machine was created with";

function contentOf(desired: DesiredState | undefined, name: CredentialName): string | undefined {
  const content = desired?.credentials.find((credential) => credential.name === name)?.content;
  return content === undefined ? undefined : Buffer.from(content).toString("utf8");
}

async function textAt(path: string, { files }: Os): Promise<string> {
  return (await files.read(path))?.toString("utf8") ?? "";
}

/** Returns the body of each certificate, without line breaks. */
function certificates(pem: string): string[] {
  const blocks = pem.matchAll(/-----BEGIN CERTIFICATE-----([^-]+)-----END CERTIFICATE-----/g);
  return [...blocks].map(([, body = ""]) => body.replaceAll(/\s/g, ""));
}

/** Returns each key's secret, or the socket of the plugin that holds it. */
function encryptionKeys(config: string): string[] {
  const keys = config.matchAll(/\b(?:secret|endpoint)["']?\s*:\s*["']?([^\s"',}]+)/g);
  return [...keys].map(([, key = ""]) => key);
}
