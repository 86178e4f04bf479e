/** The Kubernetes programs that khw runs as services on each controller. */
export const components = ["kube-apiserver", "kube-controller-manager", "kube-scheduler"] as const;
export type Component = (typeof components)[number];

/** The programs of a Kubernetes release that khw installs. */
export const programs = [...components, "kubectl"] as const;
export type Program = (typeof programs)[number];

export const architectures = ["amd64", "arm64"] as const;
export type Architecture = (typeof architectures)[number];

/** The lab's nine files, below /var/lib/kubernetes. */
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
 * What stands there in place of ca-key.pem when what Kubernetes itself signs has an authority of its own: that authority, and
 * the certificates of both, which clients and kubelets may be of.
 */
export const signingCredentialNames = ["signing-ca.pem", "signing-ca-key.pem", "ca-bundle.pem"] as const;

export type CredentialName = (typeof credentialNames)[number] | (typeof signingCredentialNames)[number];

/** The files of a cluster whose controllers hold the key of its CA, as the lab has it, or of one that keeps it elsewhere. */
export function credentialSet(separateSigning: boolean): readonly CredentialName[] {
  if (!separateSigning) return credentialNames;
  return credentialNames.flatMap((name) => (name === "ca-key.pem" ? signingCredentialNames : [name]));
}

/** What each component reads from /var/lib/kubernetes: a change of any of these restarts it. */
export const credentialsOf: Readonly<Record<Component, readonly CredentialName[]>> = {
  "kube-apiserver": [
    "ca.pem",
    "ca-bundle.pem",
    "kubernetes.pem",
    "kubernetes-key.pem",
    "service-account.pem",
    "service-account-key.pem",
    "encryption-config.yaml",
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
