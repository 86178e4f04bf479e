import { serviceAddress } from "../../../proto/networks.ts";
import type { Subject } from "../certificate.ts";

/** The certificates of lab 04 that every cluster has, in the lab's order; each is NAME.pem with its key NAME-key.pem. */
export const certificateNames = [
  "admin",
  "kube-controller-manager",
  "kube-proxy",
  "kube-scheduler",
  "kubernetes",
  "service-account",
] as const;
export type CertificateName = (typeof certificateNames)[number];

/**
 * Whom Kubernetes takes the holder of each for: CN is the user, O the group. The labs' C, L, OU and ST are left out: nothing
 * reads them, and not every cluster stands in Portland.
 */
export const subjects: Readonly<Record<CertificateName, Subject>> = {
  admin: { CN: "admin", O: "system:masters" },
  "kube-controller-manager": { CN: "system:kube-controller-manager", O: "system:kube-controller-manager" },
  "kube-proxy": { CN: "system:kube-proxy", O: "system:node-proxier" },
  "kube-scheduler": { CN: "system:kube-scheduler", O: "system:kube-scheduler" },
  kubernetes: { CN: "kubernetes", O: "Kubernetes" },
  "service-account": { CN: "service-accounts", O: "Kubernetes" },
};

export const authoritySubject: Subject = { CN: "Kubernetes", O: "Kubernetes" };
export const signingAuthoritySubject: Subject = { CN: "Kubernetes signing", O: "Kubernetes" };

/** A machine that runs a kubelet. */
export interface Worker {
  readonly name: string;
  /** Further names and addresses that the API server calls its kubelet by. */
  readonly addresses: readonly string[];
}

/** Whom the Node authorizer takes a kubelet for. */
export function workerSubject(name: string): Subject {
  return { CN: `system:node:${name}`, O: "system:nodes" };
}

/** What the API server is called by. */
export interface ServingCluster {
  readonly controllers: readonly { readonly internalIp: string }[];
  readonly publicAddress: string;
  readonly serviceCidr: string;
}

/** The lab's names, and the one that the cluster's DNS really gives the service, which the lab misspells. */
const serviceNames = [
  "kubernetes",
  "kubernetes.default",
  "kubernetes.default.svc",
  "kubernetes.default.svc.cluster",
  "kubernetes.svc.cluster.local",
  "kubernetes.default.svc.cluster.local",
];

/** The subject alternative names of kubernetes.pem, in the lab's order, each once. */
export function servingNames(cluster: ServingCluster, extraNames: readonly string[]): readonly string[] {
  const names = [
    serviceAddress(cluster.serviceCidr),
    ...cluster.controllers.map(({ internalIp }) => internalIp),
    cluster.publicAddress,
    "127.0.0.1",
    ...serviceNames,
    ...extraNames,
  ];
  return [...new Set(names)];
}
