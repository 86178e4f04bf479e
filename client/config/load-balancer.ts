import { KhwError } from "../../proto/errors.ts";
import { type ComputeConnection, type InstanceName, labLoadBalancer, type LoadBalancerConfig } from "../gce/config.ts";
import type { ClusterConfig } from "./schema.ts";

/** Where the Compute API is. @throws KhwError CONFIG_INVALID when no project is named. */
export function computeConnection({ gce }: ClusterConfig): ComputeConnection {
  return { project: required("project", gce.project), endpoint: gce.endpoint, auth: gce.auth };
}

/** The load balancer in front of the instances. @throws KhwError CONFIG_INVALID when no project or region is named. */
export function loadBalancerConfig({ gce }: ClusterConfig, instances: readonly InstanceName[]): LoadBalancerConfig {
  return {
    ...labLoadBalancer,
    project: required("project", gce.project),
    region: required("region", gce.region),
    network: gce.network,
    addressName: gce.address,
    createAddress: gce.createAddress,
    healthCheck: { ...labLoadBalancer.healthCheck, name: gce.healthCheck },
    firewallRule: { ...labLoadBalancer.firewallRule, name: gce.firewallRule },
    targetPool: gce.targetPool,
    forwardingRule: gce.forwardingRule,
    instances,
  };
}

function required(key: "project" | "region", value: string | undefined): string {
  if (value !== undefined) return value;
  throw new KhwError("CONFIG_INVALID", `gce.${key} is not known`, {
    hint: `give --${key}, or gce.${key} in khw.yaml, or set it for gcloud; outside Compute Engine use --load-balancer none`,
  });
}
