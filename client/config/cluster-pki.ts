import type { Controller } from "../../proto/desired.ts";
import { refuseInside } from "../../proto/networks.ts";
import type { ClusterPki } from "../pki/cluster/create.ts";
import { kmsOf } from "./encryption.ts";
import type { ClusterConfig } from "./schema.ts";

/**
 * Returns the settings for creating the cluster's files with these addresses.
 * @throws KhwError INVALID_ARGUMENT if the address of a machine is inside one of the cluster's networks
 */
export function clusterPki(
  config: ClusterConfig,
  addresses: { readonly controllers: readonly Controller[]; readonly publicAddress: string },
): ClusterPki {
  const {
    aggregation,
    cluster: { name: clusterName, serviceCidr, clusterCidr },
    pki: { workers, ...pki },
  } = config;
  const { controllers, publicAddress } = addresses;
  refuseInside({ "cluster.serviceCidr": serviceCidr, "cluster.clusterCidr": clusterCidr }, [
    ...controllers.map(({ name, internalIp }) => ({ address: internalIp, holder: name })),
    { address: publicAddress, holder: "the API servers" },
    ...Object.entries(workers).flatMap(([holder, names]) => names.map((address) => ({ address, holder }))),
  ]);
  return {
    ...pki,
    aggregation,
    kms: kmsOf(config.encryption),
    clusterName,
    cluster: { controllers, publicAddress, serviceCidr },
    workers: workersOf(workers),
  };
}

/** Returns the workers in the map pki.workers of khw.yaml. */
export function workersOf(workers: ClusterConfig["pki"]["workers"]): ClusterPki["workers"] {
  return Object.entries(workers).map(([name, addresses]) => ({ name, addresses }));
}
