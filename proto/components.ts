/** The Kubernetes programs that khw runs as services on each controller. */
export const components = ["kube-apiserver", "kube-controller-manager", "kube-scheduler"] as const;
export type Component = (typeof components)[number];

/** The programs of a Kubernetes release that khw installs. */
export const programs = [...components, "kubectl"] as const;
export type Program = (typeof programs)[number];

export type Architecture = "amd64" | "arm64";

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
export type CredentialName = (typeof credentialNames)[number];

/** What each component reads from /var/lib/kubernetes: a change of any of these restarts it. */
export const credentialsOf: Readonly<Record<Component, readonly CredentialName[]>> = {
  "kube-apiserver": [
    "ca.pem",
    "kubernetes.pem",
    "kubernetes-key.pem",
    "service-account.pem",
    "service-account-key.pem",
    "encryption-config.yaml",
  ],
  "kube-controller-manager": ["ca.pem", "ca-key.pem", "service-account-key.pem", "kube-controller-manager.kubeconfig"],
  "kube-scheduler": ["kube-scheduler.kubeconfig"],
};
