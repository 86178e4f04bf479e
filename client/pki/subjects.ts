import { frontProxyUser } from "../../proto/front-proxy.ts";
import { serviceAddress } from "../../proto/networks.ts";
import type { Subject } from "./certificate.ts";

/**
 * The certificates of lab 04 that every cluster has, in the lab's order. Each NAME stands for NAME.pem and its key
 * NAME-key.pem.
 */
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
 * The subject of each certificate. Kubernetes reads CN as the user, and O as the group. The subjects omit the labs' C,
 * L, OU and ST, because programs do not read these fields, and not every cluster is in Portland.
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

/** The subjects of the aggregation layer's CA and client certificate. */
export const frontProxyAuthoritySubject: Subject = { CN: "Kubernetes front proxy", O: "Kubernetes" };
export const frontProxySubject: Subject = { CN: frontProxyUser, O: "Kubernetes" };

/**
 * The subjects of etcd's own CA and of its certificates. While etcd moves to its own CA, the cluster's CA signs these
 * certificates. Therefore, these names must have no rights in the API server.
 */
export const etcdAuthoritySubject: Subject = { CN: "Kubernetes etcd", O: "Kubernetes" };
export const etcdSubjects = {
  "etcd-server": { CN: "etcd-server", O: "Kubernetes etcd" },
  "etcd-client": { CN: "etcd-client", O: "Kubernetes etcd" },
} as const satisfies Readonly<Record<string, Subject>>;

/**
 * Returns the subject of a CA that replaces another CA. The two CAs need different subjects, because some programs find
 * an issuer only by its subject.
 */
export function nextAuthoritySubject(now: Date, former = authoritySubject): Subject {
  const stamp = now.toISOString().replaceAll(/[-:]|\.\d+/g, "");
  return { ...former, CN: `${former.CN} ${stamp}` };
}

/** A machine that runs a kubelet. */
export interface Worker {
  readonly name: string;
  /** Additional names and addresses that the API server uses for this machine's kubelet. */
  readonly addresses: readonly string[];
}

/** Returns a kubelet's subject, as the Node authorizer expects it. */
export function workerSubject(name: string): Subject {
  return { CN: `system:node:${name}`, O: "system:nodes" };
}

/** The settings that determine the API server's names and addresses. */
export interface ServingCluster {
  readonly controllers: readonly { readonly internalIp: string }[];
  readonly publicAddress: string;
  readonly serviceCidr: string;
}

/** The API server's names in the lab. The last name is the correct DNS name of the service, which the lab misspells. */
const serviceNames = [
  "kubernetes",
  "kubernetes.default",
  "kubernetes.default.svc",
  "kubernetes.default.svc.cluster",
  "kubernetes.svc.cluster.local",
  "kubernetes.default.svc.cluster.local",
];

/** Returns the subject alternative names of kubernetes.pem, in the lab's order, without duplicates. */
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
