import { labEtcdVersion } from "../../proto/etcd-versions.ts";
import { labKubernetesVersion } from "../../proto/kubernetes-versions.ts";

/** The releases that the nodes must run, each with the leading "v". */
export interface Releases {
  readonly kubernetes: string;
  readonly etcd: string;
  /** The minor release that the Kubernetes programs emulate, for example "1.31"; undefined if they emulate none. */
  readonly emulated?: string | undefined;
}

/** The default releases for a new cluster. */
export const labReleases: Releases = { kubernetes: labKubernetesVersion, etcd: labEtcdVersion };
