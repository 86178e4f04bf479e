/** The Kubernetes programs that khw runs as services on each controller. */
export const components = ["kube-apiserver", "kube-controller-manager", "kube-scheduler"] as const;
export type Component = (typeof components)[number];

/** The programs that khw installs from a Kubernetes release. */
export const programs = [...components, "kubectl"] as const;
export type Program = (typeof programs)[number];

export const architectures = ["amd64", "arm64"] as const;
export type Architecture = (typeof architectures)[number];

/** The nine credential files that the lab stores in /var/lib/kubernetes. */
export const credentialNames = [
  "ca.pem",
  "ca-key.pem",
  "kubernetes.pem",
  "kubernetes-key.pem",
  "service-account.pem",
  "service-account-key.pem",
  "encryption-config.yaml",
  "kube-controller-manager.kubeconfig",
  "kube-scheduler.kubeconfig",
] as const;
/**
 * The files that replace ca-key.pem if Kubernetes signs with a separate CA. They are the certificate and key of the
 * separate CA, and a bundle of both CA certificates. The bundle is needed because either CA may sign certificates for
 * clients and kubelets.
 */
export const signingCredentialNames = ["signing-ca.pem", "signing-ca-key.pem", "ca-bundle.pem"] as const;

/**
 * The additional files of the aggregation layer: the front-proxy CA's certificate, and the certificate and key with
 * which API servers call extension API servers.
 */
export const aggregationCredentialNames = [
  "front-proxy-ca.pem",
  "front-proxy-client.pem",
  "front-proxy-client-key.pem",
] as const;

/**
 * The additional files of a cluster whose etcd has its own CA: the CA's certificate, the etcd members' certificate and
 * key, and the certificate and key with which API servers call etcd.
 */
export const etcdCaCredentialNames = [
  "etcd-ca.pem",
  "etcd-server.pem",
  "etcd-server-key.pem",
  "etcd-client.pem",
  "etcd-client-key.pem",
] as const;

/** All credential files that only some clusters have. */
export const optionalCredentialNames = [
  ...signingCredentialNames,
  ...aggregationCredentialNames,
  ...etcdCaCredentialNames,
] as const;

export type CredentialName = (typeof credentialNames)[number] | (typeof optionalCredentialNames)[number];

/** The options that determine which credential files a cluster has. Each option defaults to false. */
export interface CredentialParts {
  /** Whether Kubernetes signs with a separate CA, not with the cluster's CA as in the lab. */
  readonly signing?: boolean;
  /** Whether the cluster has an aggregation layer. */
  readonly aggregation?: boolean;
  /** Whether etcd has its own CA. */
  readonly etcdCa?: boolean;
}

/** Returns the names of a cluster's credential files. */
export function credentialSet({ signing, aggregation, etcdCa }: CredentialParts): readonly CredentialName[] {
  return [
    ...(signing === true
      ? credentialNames.flatMap((name) => (name === "ca-key.pem" ? signingCredentialNames : [name]))
      : credentialNames),
    ...(aggregation === true ? aggregationCredentialNames : []),
    ...(etcdCa === true ? etcdCaCredentialNames : []),
  ];
}

/**
 * The files in /var/lib/kubernetes that each component reads. A change to any of these files restarts the component.
 */
export const credentialsOf: Readonly<Record<Component, readonly CredentialName[]>> = {
  "kube-apiserver": [
    "ca.pem",
    "ca-bundle.pem",
    "kubernetes.pem",
    "kubernetes-key.pem",
    "service-account.pem",
    "service-account-key.pem",
    "encryption-config.yaml",
    ...aggregationCredentialNames,
    "etcd-ca.pem",
    "etcd-client.pem",
    "etcd-client-key.pem",
  ],
  "kube-controller-manager": [
    "ca.pem",
    "ca-key.pem",
    "signing-ca.pem",
    "signing-ca-key.pem",
    "service-account-key.pem",
    "kube-controller-manager.kubeconfig",
  ],
  "kube-scheduler": ["kube-scheduler.kubeconfig"],
};
