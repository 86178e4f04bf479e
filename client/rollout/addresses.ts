import type { Controller } from "../../proto/desired.ts";
import { KhwError } from "../../proto/errors.ts";
import { applySteps } from "../../proto/step.ts";
import { controllersOf, findInstances, openCloud, openCluster, type OpenCluster } from "../cluster/open.ts";
import { loadBalancerConfig } from "../config/load-balancer.ts";
import type { ClusterConfig } from "../config/schema.ts";

/** The names and addresses of the API servers, in addition to the names and addresses that all clusters have. */
export interface Addresses {
  readonly controllers: readonly Controller[];
  readonly publicAddress: string;
}

/**
 * Returns the controllers' addresses and the public address from khw.yaml. If khw.yaml lacks addresses, gets them from
 * the Compute API in a cluster with Google's load balancer, and from the agents in any other cluster. With the Compute
 * API, certificates can be created before any agent exists.
 * @throws KhwError if the addresses cannot be found
 */
export async function findAddresses(config: ClusterConfig, signal: AbortSignal): Promise<Addresses> {
  const { nodes, cluster, loadBalancer } = config;
  const known = nodes.flatMap(({ name, internalIp }) => (internalIp === undefined ? [] : [{ name, internalIp }]));
  if (nodes.length > 0 && known.length === nodes.length && cluster.publicAddress !== undefined) {
    return { controllers: known, publicAddress: cluster.publicAddress };
  }
  if (loadBalancer === "none" || nodes.length === 0) {
    await using open = await openCluster(config, signal);
    const publicAddress = await findPublicAddress(open, { signal, mayCreateAddress: false });
    return { controllers: controllersOf(open), publicAddress };
  }
  await using compute = await openCloud(config);
  const instances = await findInstances(compute, config, signal);
  const cloud = { compute, loadBalancer: loadBalancerConfig(config, instances) };
  const publicAddress = await findPublicAddress({ config, cloud }, { signal, mayCreateAddress: false });
  return { controllers: controllersOf({ config, members: [], instances }), publicAddress };
}

/**
 * Returns the public address. No node needs to be configured or reachable.
 * @throws KhwError if the address cannot be found
 */
export async function findPublicAddressOf(config: ClusterConfig, signal: AbortSignal): Promise<string> {
  const options = { signal, mayCreateAddress: false };
  if (config.cluster.publicAddress !== undefined || config.loadBalancer === "none") {
    return findPublicAddress({ config, cloud: undefined }, options);
  }
  await using compute = await openCloud(config);
  return findPublicAddress({ config, cloud: { compute, loadBalancer: loadBalancerConfig(config, []) } }, options);
}

interface PublicAddressOptions {
  readonly signal: AbortSignal;
  /**
   * Whether to reserve a missing static address now, if the configuration allows it. If false, a missing address is an
   * error.
   */
  readonly mayCreateAddress: boolean;
}

/** @throws KhwError CONFIG_INVALID, COMPUTE_FAILED */
export async function findPublicAddress(
  { config, cloud }: Pick<OpenCluster, "config" | "cloud">,
  { signal, mayCreateAddress }: PublicAddressOptions,
): Promise<string> {
  if (config.cluster.publicAddress !== undefined) return config.cluster.publicAddress;
  if (cloud === undefined) {
    throw new KhwError("CONFIG_INVALID", "cluster.publicAddress is not known", {
      hint: "specify the address of the API servers with --public-address, because khw does not manage a load balancer here",
    });
  }
  const { loadBalancerSteps, publicAddress } = await import("../gce/load-balancer.ts");
  if (mayCreateAddress && cloud.loadBalancer.createAddress) {
    const step = loadBalancerSteps(cloud.loadBalancer).filter(({ id }) => id === "address");
    const [result] = await applySteps(step, cloud.compute, { signal, emit: () => {} });
    if (result?.outcome === "failed") throw result.error;
  }
  return publicAddress(cloud.compute, cloud.loadBalancer, signal);
}
