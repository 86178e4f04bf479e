import { kubernetesMinor } from "../../proto/release.ts";

/**
 * How to handle the objects of a dropped version:
 * - "rewrite": the previous release stores objects in a version that the new release reads, so writing the objects
 *   again is enough;
 * - "recreate": the previous release stores objects in the dropped version, so the objects must be deleted before the
 *   update;
 * - "delete": the new release no longer has the resource, so the objects stay in etcd but have no effect.
 */
export type DroppedRemedy = "rewrite" | "recreate" | "delete";

/** An API version that a release can no longer read from etcd. */
export interface DroppedVersion {
  /** The first minor release that cannot read the version. */
  readonly from: number;
  readonly group: string;
  readonly version: string;
  readonly kinds: readonly DroppedKind[];
  readonly remedy: DroppedRemedy;
  readonly source: string;
}

interface DroppedKind {
  readonly kind: string;
  /**
   * The resource's name, which is also the part of an etcd key between the Kubernetes prefix and the object's own name.
   */
  readonly resource: string;
}

const resourceClaims: readonly DroppedKind[] = [
  { kind: "ResourceClaim", resource: "resourceclaims" },
  { kind: "ResourceClaimTemplate", resource: "resourceclaimtemplates" },
];
const flowSchemas: readonly DroppedKind[] = [
  { kind: "FlowSchema", resource: "flowschemas" },
  { kind: "PriorityLevelConfiguration", resource: "prioritylevelconfigurations" },
];
const deviceClasses: readonly DroppedKind[] = [
  { kind: "DeviceClass", resource: "deviceclasses" },
  { kind: "ResourceSlice", resource: "resourceslices" },
];

/**
 * The API versions that each release from 1.21 on can no longer read, in the order of the releases.
 *
 * The list omits beta versions that a release only stops serving. The release can still read stored objects of these
 * versions. Kubernetes keeps the types of every stable and beta version that was ever stored:
 * https://kubernetes.io/docs/reference/using-api/deprecation-policy/ ("the API server must remain capable of
 * decoding/converting previously persisted data"). Alpha versions have no such guarantee. An object that cannot be read
 * makes every list of its resource fail: https://github.com/kubernetes/kubernetes/issues/37862.
 */
export const droppedVersions: readonly DroppedVersion[] = [
  {
    from: 21,
    group: "batch",
    version: "v2alpha1",
    kinds: [{ kind: "CronJob", resource: "cronjobs" }],
    remedy: "rewrite",
    source: "https://github.com/openshift/api/pull/865",
  },
  {
    from: 21,
    group: "discovery.k8s.io",
    version: "v1alpha1",
    kinds: [{ kind: "EndpointSlice", resource: "endpointslices" }],
    remedy: "rewrite",
    source: "https://github.com/kubernetes/kubernetes/pull/99662",
  },
  {
    from: 25,
    group: "policy",
    version: "v1beta1",
    kinds: [{ kind: "PodSecurityPolicy", resource: "podsecuritypolicies" }],
    remedy: "delete",
    source: "https://kubernetes.io/docs/reference/using-api/deprecation-guide/#psp-v125",
  },
  {
    from: 27,
    group: "resource.k8s.io",
    version: "v1alpha1",
    kinds: [...resourceClaims, { kind: "ResourceClass", resource: "resourceclasses" }],
    remedy: "recreate",
    source: "https://github.com/kubernetes/kubernetes/pull/116299",
  },
  {
    from: 27,
    group: "resource.k8s.io",
    version: "v1alpha1",
    kinds: [{ kind: "PodScheduling", resource: "podschedulings" }],
    remedy: "delete",
    source: "https://github.com/kubernetes/kubernetes/pull/116299",
  },
  {
    from: 29,
    group: "flowcontrol.apiserver.k8s.io",
    version: "v1alpha1",
    kinds: flowSchemas,
    remedy: "rewrite",
    source: "https://github.com/kubernetes/kubernetes/pull/120259",
  },
  {
    from: 29,
    group: "networking.k8s.io",
    version: "v1alpha1",
    kinds: [{ kind: "ClusterCIDR", resource: "clustercidrs" }],
    remedy: "delete",
    source: "https://github.com/kubernetes/kubernetes/pull/121229",
  },
  {
    from: 31,
    group: "resource.k8s.io",
    version: "v1alpha2",
    kinds: [
      ...resourceClaims,
      { kind: "PodSchedulingContext", resource: "podschedulingcontexts" },
      { kind: "ResourceSlice", resource: "resourceslices" },
    ],
    remedy: "recreate",
    source: "https://github.com/kubernetes/kubernetes/pull/125488",
  },
  {
    from: 31,
    group: "resource.k8s.io",
    version: "v1alpha2",
    kinds: [
      { kind: "ResourceClass", resource: "resourceclasses" },
      { kind: "ResourceClaimParameters", resource: "resourceclaimparameters" },
      { kind: "ResourceClassParameters", resource: "resourceclassparameters" },
    ],
    remedy: "delete",
    source: "https://github.com/kubernetes/kubernetes/pull/125488",
  },
  {
    from: 32,
    group: "coordination.k8s.io",
    version: "v1alpha1",
    kinds: [{ kind: "LeaseCandidate", resource: "leasecandidates" }],
    remedy: "recreate",
    source: "https://github.com/kubernetes/kubernetes/pull/127857",
  },
  {
    from: 32,
    group: "resource.k8s.io",
    version: "v1alpha3",
    kinds: [{ kind: "PodSchedulingContext", resource: "podschedulingcontexts" }],
    remedy: "delete",
    source: "https://github.com/kubernetes/kubernetes/pull/128003",
  },
  {
    from: 34,
    group: "resource.k8s.io",
    version: "v1alpha3",
    kinds: [...resourceClaims, ...deviceClasses],
    remedy: "rewrite",
    source: "https://github.com/kubernetes/kubernetes/pull/132000",
  },
  {
    from: 35,
    group: "certificates.k8s.io",
    version: "v1alpha1",
    kinds: [{ kind: "PodCertificateRequest", resource: "podcertificaterequests" }],
    remedy: "recreate",
    source: "https://github.com/kubernetes/kubernetes/pull/134624",
  },
  {
    from: 35,
    group: "storagemigration.k8s.io",
    version: "v1alpha1",
    kinds: [{ kind: "StorageVersionMigration", resource: "storageversionmigrations" }],
    remedy: "recreate",
    source: "https://github.com/kubernetes/kubernetes/pull/134784",
  },
  {
    from: 36,
    group: "scheduling.k8s.io",
    version: "v1alpha1",
    kinds: [{ kind: "Workload", resource: "workloads" }],
    remedy: "recreate",
    source: "https://github.com/kubernetes/kubernetes/pull/136976",
  },
  {
    from: 37,
    group: "scheduling.k8s.io",
    version: "v1alpha2",
    kinds: [
      { kind: "Workload", resource: "workloads" },
      { kind: "PodGroup", resource: "podgroups" },
    ],
    remedy: "recreate",
    source: "https://github.com/kubernetes/kubernetes/blob/master/CHANGELOG/CHANGELOG-1.37.md",
  },
];

/** Returns the versions that the oldest running release can read, but the new release cannot. */
export function droppedBetween(oldest: string, wanted: string): DroppedVersion[] {
  const [old = 0, next = 0] = [kubernetesMinor(oldest), kubernetesMinor(wanted)];
  return droppedVersions.filter(({ from }) => from > old && from <= next);
}
