import type { Architecture } from "./components.ts";
import { parseKubernetesVersion } from "./kubernetes-versions.ts";
import { parseRelease } from "./release.ts";
import { refuse, show } from "./validate.ts";

/** The etcd release of lab 07. */
export const labEtcdVersion = "v3.4.15";

/** The etcd release for new clusters, starting with a certain minor release of Kubernetes. */
export interface DefaultEtcd {
  readonly from: number;
  readonly version: string;
  readonly why: string;
  readonly source: string;
}

/**
 * The etcd releases for new clusters. Each Kubernetes release gets the etcd minor release that Kubernetes was tested
 * with. The patch release is the newest safe one that khw knows. etcd 3.5.0 to 3.5.2 can corrupt data after a crash.
 * Releases of 3.5 before 3.5.26 cannot be upgraded to 3.6 (client/release/path.ts).
 */
export const defaultEtcds: readonly DefaultEtcd[] = [
  {
    from: 20,
    version: labEtcdVersion,
    why: "the lab's own; kubeadm has 3.4.13 for 1.19 to 1.21",
    source: "https://github.com/kubernetes/kubernetes/blob/v1.21.0/cmd/kubeadm/app/constants/constants.go",
  },
  {
    from: 22,
    version: "v3.5.30",
    why: "kubeadm uses 3.5 for 1.22 to 1.33",
    source: "https://github.com/kubernetes/kubernetes/pull/134779",
  },
  {
    from: 34,
    version: "v3.6.11",
    why: "kubeadm has 3.6 for 1.34 to 1.36, and 3.7 for 1.37; khw does not run 3.7",
    source: "https://github.com/kubernetes/kubernetes/pull/135271",
  },
];

/** Returns the etcd release for a new cluster with this Kubernetes release. */
export function defaultEtcdVersion(kubernetesVersion: string): string {
  const { minor } = parseKubernetesVersion("kubernetes_version", kubernetesVersion);
  return defaultEtcds.findLast(({ from }) => from <= minor)?.version ?? labEtcdVersion;
}

/** The oldest etcd release that kubeadm accepts, from this minor release of Kubernetes on. */
const minimumEtcds = [
  { from: 31, version: "v3.5.11", source: "https://github.com/flatcar/scripts/pull/2311" },
] as const;

/** Returns the oldest supported etcd release, and the source; undefined if every release that khw runs is supported. */
export function minimumEtcd(
  kubernetesVersion: string,
): { readonly version: string; readonly source: string } | undefined {
  const { minor } = parseKubernetesVersion("kubernetes_version", kubernetesVersion);
  return minimumEtcds.findLast(({ from }) => from <= minor);
}

/** The minor versions of etcd 3 that khw supports. khw needs learners, which earlier versions do not have. */
const minors = [4, 5, 6];

/**
 * The SHA-256 digests of the Linux archives of etcd releases. Each digest was found in at least two independent public
 * sources:
 *
 * - v3.4.13: the build files of Kubernetes, and kubekey's list.
 * - v3.4.15: a Habitat plan, and a project's installation script.
 * - v3.5.3: the upgrade notes for Compliant Kubernetes, and a project's Bazel workspace.
 * - v3.5.6: a Dockerfile, and the same Bazel workspace.
 *
 * The digest of any other release is trusted on first use (khw.lock).
 */
const published: Readonly<Record<string, Readonly<Partial<Record<Architecture, string>>>>> = {
  "v3.4.13": {
    amd64: "2ac029e47bab752dacdb7b30032f230f49e2f457cbc32e8f555c2210bb5ff107",
    arm64: "1934ebb9f9f6501f706111b78e5e321a7ff8d7792d3d96a76e2d01874e42a300",
  },
  "v3.4.15": { amd64: "3bd00836ea328db89ecba3ed2155293934c0d09e64b53d6c9dfc0a256e724b81" },
  "v3.5.3": { amd64: "e13e119ff9b28234561738cd261c2a031eb1c8688079dcf96d8035b3ad19ca58" },
  "v3.5.6": { amd64: "4db32e3bc06dd0999e2171f76a87c1cffed8369475ec7aa7abee9023635670fb" },
};

/** @throws KhwError INVALID_ARGUMENT if the text is not a release, or if khw does not support the release */
export function parseEtcdVersion(field: string, text: string): string {
  const { major, minor } =
    parseRelease(text) ?? refuse(field, `${show(text)} is not an etcd release`, `for example ${labEtcdVersion}`);
  if (major !== 3 || !minors.includes(minor)) {
    refuse(field, `${show(text)} is not a release that khw can run`, `use v3.${minors[0]} to v3.${minors.at(-1)}`);
  }
  return text;
}

/** The first etcd 3.5 release that again stores the promotion of a learner on disk. */
export const promotionsStoredSince = "v3.5.26";

/**
 * Whether the release fails to store a learner's promotion on disk. The promoted member is then a learner again after
 * an upgrade to 3.6. Sources: https://github.com/etcd-io/etcd/issues/19557 and
 * https://github.com/etcd-io/etcd/pull/20793
 */
export function losesPromotions(version: string): boolean {
  const release = parseRelease(version.startsWith("v") ? version : `v${version}`);
  return release !== undefined && release.minor === 5 && release.patch >= 1 && release.patch <= 25;
}

/** Returns the digest that khw knows for a release; undefined if khw does not know the digest. */
export function publishedEtcdDigest(version: string, architecture: Architecture): string | undefined {
  return published[version]?.[architecture];
}
