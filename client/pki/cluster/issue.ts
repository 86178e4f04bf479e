import { createAuthority, type Identity, type IssueContext, issueIdentity } from "../certificate.ts";
import type { KeyAlgorithm } from "../keys.ts";
import {
  authoritySubject,
  type CertificateName,
  etcdAuthoritySubject,
  frontProxyAuthoritySubject,
  frontProxySubject,
  servingNames,
  type ServingCluster,
  signingAuthoritySubject,
  subjects,
  type Worker,
  workerSubject,
} from "../subjects.ts";

/** The validity of a certificate and the kind of its key. */
export interface ClusterLeaf {
  readonly algorithm: KeyAlgorithm;
  /** The validity in days from now. */
  readonly days: number;
  /** The private key of the certificate, in PEM; if absent, a new key is created. */
  readonly key?: string | undefined;
}

const authoritySubjects = {
  cluster: authoritySubject,
  signing: signingAuthoritySubject,
  "front proxy": frontProxyAuthoritySubject,
  etcd: etcdAuthoritySubject,
} as const;

/**
 * Creates an authority. "cluster" signs all of the lab's certificates. "signing" signs the certificates that Kubernetes
 * issues, if the cluster has a separate CA for them. "front proxy" signs the certificate that API servers use to call
 * extension API servers. "etcd" signs the certificates of etcd and of its clients.
 */
export async function createClusterAuthority(
  kind: keyof typeof authoritySubjects,
  { algorithm, days }: Pick<ClusterLeaf, "algorithm" | "days">,
  now: Date,
): Promise<Identity> {
  return createAuthority({ subject: authoritySubjects[kind], days, algorithm }, now);
}

export interface ClusterRequest extends ClusterLeaf {
  readonly name: CertificateName;
  /**
   * The cluster, whose names and addresses are in kubernetes.pem. The other certificates contain no names of machines.
   */
  readonly cluster: ServingCluster;
  readonly extraNames: readonly string[];
}

/**
 * Issues a new key and certificate under one of the lab's names.
 * @throws KhwError as signCertificate does
 */
export async function issueForCluster(
  authority: Identity,
  request: ClusterRequest,
  context: IssueContext,
): Promise<Identity> {
  const { name, cluster, extraNames, algorithm, days, key } = request;
  const names = name === "kubernetes" ? servingNames(cluster, extraNames) : [];
  return issueIdentity(authority, { subject: subjects[name], usages: labUsages, names, days, algorithm, key }, context);
}

/** Issues a new key and certificate for a worker's kubelet. */
export async function issueForWorker(
  authority: Identity,
  { name, addresses, algorithm, days, key }: Worker & ClusterLeaf,
  context: IssueContext,
): Promise<Identity> {
  const names = [...new Set([name, ...addresses])];
  return issueIdentity(
    authority,
    { subject: workerSubject(name), usages: labUsages, names, days, algorithm, key },
    context,
  );
}

/** Issues a new key and the certificate with which API servers call extension API servers. */
export async function issueFrontProxyClient(
  authority: Identity,
  { algorithm, days }: Pick<ClusterLeaf, "algorithm" | "days">,
  context: IssueContext,
): Promise<Identity> {
  const leaf = { subject: frontProxySubject, usages: ["clientAuth"] as const, names: [], days, algorithm };
  return issueIdentity(authority, leaf, context);
}

/**
 * The usages in the profile of lab 04's ca-config.json. A server may also be a client. For example, the API server is a
 * client of etcd and of the kubelets.
 */
const labUsages = ["serverAuth", "clientAuth"] as const;
