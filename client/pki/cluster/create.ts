import { stringify } from "yaml";
import { refuse, show } from "../../../proto/validate.ts";
import { keyName } from "../encryption/stage.ts";
import type { Identity } from "../certificate.ts";
import { identityFiles, type NewFiles } from "../folder.ts";
import type { KeyAlgorithm } from "../keys.ts";
import { type CertificateName, certificateNames, type ServingCluster, type Worker } from "../subjects.ts";
import { type Kms, toKmsProvider } from "../kms.ts";
import { newKey, type KeyedKind, type Provider, toPlain } from "../encryption/provider.ts";
import { createEtcdCa, etcdAuthority, etcdLeaves } from "./etcd-ca.ts";
import { createFrontProxy, frontProxyAuthority, frontProxyClient } from "./front-proxy.ts";
import { createClusterAuthority, issueForCluster, issueForWorker } from "./issue.ts";
import { kubeconfigsOf, type LabKubeconfig, renderKubeconfig } from "./kubeconfig.ts";
import { authorityIn, pairIn, type PresentFiles } from "./present.ts";

/** The cluster, and the settings for its files. */
export interface ClusterPki {
  /** The cluster's name in kubeconfigs. */
  readonly clusterName: string;
  readonly cluster: ServingCluster;
  readonly algorithm: KeyAlgorithm;
  readonly days: number;
  readonly caDays: number;
  /** Additional names of the API server. */
  readonly extraNames: readonly string[];
  readonly workers: readonly Worker[];
  /**
   * Whether a separate CA signs the certificates that Kubernetes issues, so that the cluster's CA stays on the
   * workstation.
   */
  readonly separateSigningCa: boolean;
  /**
   * Whether to create a separate CA for etcd. If the folder already has this CA, etcd uses this CA even if the value is
   * false.
   */
  readonly separateEtcdCa: boolean;
  /** Whether the cluster has an aggregation layer, with a CA of its own. */
  readonly aggregation: boolean;
  /** The provider with which a new encryption-config.yaml encrypts Secrets. */
  readonly encryptionProvider: KeyedKind;
  /** The KMS plugin that a new encryption-config.yaml uses for encryption. */
  readonly kms?: Kms | undefined;
}

/**
 * Returns the names of all certificates that the cluster's CA signs: each NAME stands for the files NAME.pem and
 * NAME-key.pem.
 */
export function leafNames({ workers }: Pick<ClusterPki, "workers">): string[] {
  return [...certificateNames, ...workers.map(({ name }) => name)];
}

/** The settings that determine which certificates a cluster has. */
export type RenewablePki = Pick<ClusterPki, "workers" | "aggregation" | "separateEtcdCa">;

/** Returns the names of all certificates that `pki renew` and `pki create --renew` can reissue. */
export function renewableNames(pki: RenewablePki): string[] {
  return [...leafNames(pki), ...(pki.aggregation ? [frontProxyClient] : []), ...(pki.separateEtcdCa ? etcdLeaves : [])];
}

/** Returns the names of all files of labs 04 to 06, and of the optional CAs, for this cluster. */
export function clusterFiles(pki: RenewablePki & Pick<ClusterPki, "separateSigningCa">): string[] {
  const optional = [
    ...(pki.separateSigningCa ? ["signing-ca"] : []),
    ...(pki.aggregation ? [frontProxyAuthority, frontProxyClient] : []),
    ...(pki.separateEtcdCa ? [etcdAuthority, ...etcdLeaves] : []),
  ];
  const pairs = ["ca", ...optional, ...leafNames(pki)];
  return [
    ...pairs.flatMap((name) => [`${name}.pem`, `${name}-key.pem`]),
    ...kubeconfigsOf(pki).map(({ name }) => `${name}.kubeconfig`),
    "encryption-config.yaml",
  ];
}

/**
 * Creates the missing files in memory so that they match the existing files. Writes nothing.
 * @throws KhwError CREDENTIAL_INVALID for existing files that do not belong together; otherwise as signCertificate does
 */
export async function createMissing(present: PresentFiles, pki: ClusterPki, now: Date): Promise<NewFiles> {
  const { algorithm, caDays } = pki;
  const names = leafNames(pki);
  const toSign = names.filter((name) => pairIn(present, name) === undefined);
  const authority = authorityIn(present, { toSign, signed: names.filter((name) => !toSign.includes(name)), now });
  const made: Record<string, string> = {};

  const newAuthority = (): Promise<Identity> => createClusterAuthority("cluster", { algorithm, days: caDays }, now);
  const ca = authority ?? (present.has("ca.pem") ? undefined : await newAuthority());
  if (ca !== undefined && authority === undefined) Object.assign(made, identityFiles("ca", ca));
  if (pki.separateSigningCa && pairIn(present, "signing-ca") === undefined) {
    const signing = await createClusterAuthority("signing", { algorithm, days: caDays }, now);
    Object.assign(made, identityFiles("signing-ca", signing));
  }
  if (pki.aggregation) Object.assign(made, await createFrontProxy(present, pki, now));
  if (pki.separateEtcdCa) Object.assign(made, await createEtcdCa(present, pki, now));
  if (ca !== undefined) {
    const issue = async (name: string) => identityFiles(name, await issueLeaf(ca, { ...pki, name }, now));
    Object.assign(made, ...(await Promise.all(toSign.map(issue))));
  }

  const content = (file: string): string => made[file] ?? present.get(file) ?? "";
  for (const kubeconfig of kubeconfigsOf(pki)) {
    const file = `${kubeconfig.name}.kubeconfig`;
    if (!present.has(file)) made[file] = renderLabKubeconfig(kubeconfig, pki, content);
  }
  const encryption = "encryption-config.yaml";
  if (!present.has(encryption)) made[encryption] = renderEncryptionConfig(pki, now);
  return made;
}

export interface LeafRequest extends ClusterPki {
  readonly name: string;
  /** The private key of the certificate, in PEM; if absent, a new key is created. */
  readonly key?: string | undefined;
}

/**
 * Issues the certificate with the requested name, which is the name of a lab certificate or of a worker.
 * @throws KhwError as signCertificate does
 */
export async function issueLeaf(authority: Identity, request: LeafRequest, now: Date): Promise<Identity> {
  const { name, workers, cluster, extraNames, ...leaf } = request;
  const context = { now, daysField: "pki.days" };
  const worker = workers.find((candidate) => candidate.name === name);
  if (worker !== undefined) return issueForWorker(authority, { ...leaf, ...worker }, context);
  return issueForCluster(authority, { ...leaf, name: certificateName(name), cluster, extraNames }, context);
}

/** Returns a lab kubeconfig, with the user's certificate and key from the files. */
export function renderLabKubeconfig(
  { name, user, at }: LabKubeconfig,
  { clusterName, cluster: { publicAddress } }: Pick<ClusterPki, "clusterName" | "cluster">,
  content: (file: string) => string,
): string {
  return renderKubeconfig({
    server: `https://${at === "loopback" ? "127.0.0.1" : publicAddress}:6443`,
    cluster: clusterName,
    user,
    context: "default",
    ca: content("ca.pem"),
    identity: { certificate: content(`${name}.pem`), key: content(`${name}-key.pem`) },
  });
}

/** @throws KhwError INVALID_ARGUMENT for a name that renewableNames does not return */
export function parseLeafName(name: string, pki: RenewablePki): string {
  return renewableNames(pki).includes(name) ? name : certificateName(name);
}

function certificateName(name: string): CertificateName {
  return (
    certificateNames.find((candidate) => candidate === name) ??
    refuse(
      "certificate",
      `${show(name)} is not a certificate of the cluster`,
      `use one of ${certificateNames.join(", ")}, or a worker`,
    )
  );
}

/**
 * Returns the contents of lab 06's file. New Secrets are encrypted with the key, and unencrypted Secrets stay readable.
 * The kind is EncryptionConfiguration, which every release since 1.13 reads. The lab's kind, EncryptionConfig, comes
 * from older documentation. A KMS plugin comes first in the list, so that the plugin encrypts new values. The file
 * keeps the key in case the cluster stops using the plugin later.
 */
function renderEncryptionConfig({ kms, encryptionProvider: kind }: ClusterPki, now: Date): string {
  const providers: readonly Provider[] = [
    ...(kms === undefined ? [] : [toKmsProvider(kms)]),
    { kind, keys: [newKey(keyName(now))] },
    { kind: "identity" },
  ];
  return stringify({
    kind: "EncryptionConfiguration",
    apiVersion: "apiserver.config.k8s.io/v1",
    resources: [
      {
        resources: ["secrets"],
        providers: providers.map(toPlain),
      },
    ],
  });
}
