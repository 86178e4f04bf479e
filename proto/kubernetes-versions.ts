import type { Component } from "./components.ts";
import { parseRelease } from "./release.ts";
import { refuse, show } from "./validate.ts";

/** A Kubernetes release. */
export interface KubernetesVersion {
  /** The version with a leading "v", for example "v1.21.0". */
  readonly text: string;
  readonly minor: number;
}

/** The lab's release, which is the default for a new cluster. */
export const labKubernetesVersion = "v1.21.0";

/** The lab's value for kube-apiserver's --runtime-config. */
export const labRuntimeConfig = "api/all=true";

/** The lab's value for kube-apiserver's --enable-admission-plugins. */
export const labAdmissionPlugins =
  "NamespaceLifecycle,NodeRestriction,LimitRanger,ServiceAccount,DefaultStorageClass,ResourceQuota";

const oldestMinor = 20;
const newestMinor = 37;

/** A version of the API group kubescheduler.config.k8s.io. */
export type SchedulerConfigVersion = "v1beta1" | "v1beta3" | "v1";

/** A change to the lab's configuration that is required from a certain minor release on. */
export type ReleaseDifference = { readonly from: number; readonly why: string; readonly source: string } & (
  | { readonly kind: "scheduler-config"; readonly apiVersion: SchedulerConfigVersion }
  | { readonly kind: "flag-gone"; readonly component: Component; readonly flag: string }
);

/**
 * All required changes to the lab's configuration, ordered by release. The lab was written for 1.21. Each row applies
 * until a later row replaces it. docs/kubernetes-versions.md lists changes in Kubernetes that need no row here.
 */
export const differences: readonly ReleaseDifference[] = [
  {
    from: 20,
    kind: "scheduler-config",
    apiVersion: "v1beta1",
    why: "the lab's own; read by 1.19 to 1.22",
    source:
      "https://github.com/kubernetes/enhancements/tree/master/keps/sig-scheduling/785-scheduler-component-config-api",
  },
  {
    from: 23,
    kind: "scheduler-config",
    apiVersion: "v1beta3",
    why: "1.23 introduced it and no longer reads v1beta1; 1.28 is the last to read it",
    source: "https://github.com/kubernetes/kubernetes/pull/119994",
  },
  {
    from: 24,
    kind: "flag-gone",
    component: "kube-apiserver",
    flag: "apiserver-count",
    why: "deprecated; only the master-count endpoint reconciler reads it, and the default is lease",
    source: "https://github.com/kubernetes/kubernetes/pull/108062",
  },
  {
    from: 25,
    kind: "scheduler-config",
    apiVersion: "v1",
    why: "stable from 1.25 on; the only version from 1.29 on",
    source: "https://kubernetes.io/docs/reference/scheduling/config/",
  },
];

/** @throws KhwError INVALID_ARGUMENT if the text is not a release, or if khw does not support the release */
export function parseKubernetesVersion(field: string, text: string): KubernetesVersion {
  const { major, minor } =
    parseRelease(text) ?? refuse(field, `${show(text)} is not a Kubernetes release`, "for example v1.21.0");
  if (major !== 1 || minor < oldestMinor || minor > newestMinor) {
    refuse(field, `${show(text)} is not a release that khw can run`, `use v1.${oldestMinor} to v1.${newestMinor}`);
  }
  return { text, minor };
}

/** Returns the API version of KubeSchedulerConfiguration for a release. */
export function schedulerConfigVersion(kubernetesVersion: string): SchedulerConfigVersion {
  return rowsOf(kubernetesVersion).reduce<SchedulerConfigVersion>(
    (version, row) => (row.kind === "scheduler-config" ? row.apiVersion : version),
    "v1beta1",
  );
}

/** Returns the lab's flags that a component no longer has in a release. */
export function goneFlags(component: Component, kubernetesVersion: string): string[] {
  return rowsOf(kubernetesVersion).flatMap((row) =>
    row.kind === "flag-gone" && row.component === component ? [row.flag] : [],
  );
}

function rowsOf(kubernetesVersion: string): ReleaseDifference[] {
  const { minor } = parseKubernetesVersion("kubernetes_version", kubernetesVersion);
  return differences.filter(({ from }) => from <= minor);
}

/**
 * Returns by how many minor releases a kubelet may be older than the API server:
 * https://kubernetes.io/releases/version-skew-policy/#kubelet
 */
export function kubeletSkew(kubeletMinor: number): number {
  return kubeletMinor < 25 ? 2 : 3;
}

/** A deprecated API that Kubernetes itself requests, even if no client uses it. */
export interface KnownRequest {
  readonly group: string;
  readonly version: string;
  readonly resource: string;
  readonly source: string;
}

/**
 * Deprecated APIs that the garbage collector watches. It watches every resource that can be deleted, in the version
 * that the API server prefers. Requests for such an API do not prove that a client uses the API.
 */
export const knownRequests: readonly KnownRequest[] = [
  {
    group: "extensions",
    version: "v1beta1",
    resource: "ingresses",
    source: "https://github.com/kubernetes/kubernetes/issues/106668",
  },
];
