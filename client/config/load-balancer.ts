import { KhwError } from "../../proto/errors.ts";
import { type ComputeConnection, type InstanceName, labLoadBalancer, type LoadBalancerConfig } from "../gce/config.ts";
import type { ClusterConfig } from "./schema.ts";

/**
 * Returns the connection to the Compute API.
 * @throws KhwError CONFIG_INVALID if no project is configured
 */
export function computeConnection(config: ClusterConfig): ComputeConnection {
  const { gce } = config;
  return { project: required("project", config), endpoint: gce.endpoint, auth: gce.auth };
}

/**
 * Returns the configuration of the load balancer in front of the instances.
 * @throws KhwError CONFIG_INVALID if the project or the region is unknown, or the zone is outside the region
 */
export function loadBalancerConfig(config: ClusterConfig, instances: readonly InstanceName[]): LoadBalancerConfig {
  const { gce } = config;
  const project = required("project", config);
  const region = required("region", config);
  refuseOtherRegion(region, config);
  return {
    ...labLoadBalancer,
    project,
    region,
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

function required(key: "project" | "region", { gce, place }: ClusterConfig): string {
  const value = gce[key];
  if (value !== undefined) return value;
  const problem = place?.problems[key];
  const message = `gce.${key} is unknown`;
  if (problem !== undefined) {
    throw new KhwError("CONFIG_INVALID", `${message}: ${problem.message}`, { hint: problem.hint, cause: problem });
  }
  throw new KhwError("CONFIG_INVALID", message, {
    hint: `use --${key}, set gce.${key} in khw.yaml, or configure it in gcloud; outside Compute Engine, use --load-balancer none`,
  });
}

/** A target pool accepts only instances in its own region. */
function refuseOtherRegion(region: string, { gce: { zone }, place }: ClusterConfig): void {
  const problem = place?.problems.zone;
  // Without a zone, the instances are found by their names. An unusable zone is still an error.
  if (problem !== undefined && place?.from.region !== "gce.region") throw problem;
  if (zone === undefined || zone.startsWith(`${region}-`)) return;
  const source = (key: "region" | "zone"): string => place?.from[key] ?? `gce.${key}`;
  throw new KhwError(
    "CONFIG_INVALID",
    `the zone ${zone} (${source("zone")}) is not in the region ${region} (${source("region")})`,
    { hint: "correct --zone or --region" },
  );
}
