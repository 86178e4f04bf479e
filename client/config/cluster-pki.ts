import type { ClusterPki } from "../pki/cluster/create.ts";
import type { ClusterConfig } from "./schema.ts";

/** How the files of the cluster at these addresses are made. */
export function clusterPki(
  { cluster: { name, serviceCidr }, pki: { workers, ...pki } }: ClusterConfig,
  addresses: Pick<ClusterPki["cluster"], "controllers" | "publicAddress">,
): ClusterPki {
  const { controllers, publicAddress } = addresses;
  return {
    ...pki,
    clusterName: name,
    cluster: { controllers, publicAddress, serviceCidr },
    workers: workersOf(workers),
  };
}

/** The workers of khw.yaml's map. */
export function workersOf(workers: ClusterConfig["pki"]["workers"]): ClusterPki["workers"] {
  return Object.entries(workers).map(([name, addresses]) => ({ name, addresses }));
}
