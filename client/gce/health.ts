import type { Compute } from "./compute.ts";
import type { InstanceName, LoadBalancerConfig } from "./config.ts";
import { loadBalancerReferences } from "./load-balancer.ts";
import { instanceReference, pathOf } from "./references.ts";

/**
 * UNKNOWN means that Google reports no health yet, because no forwarding rule points to the pool. MISSING means that
 * the instance is not in the pool.
 */
export type HealthState = "HEALTHY" | "UNHEALTHY" | "UNKNOWN" | "MISSING";

export interface BackendHealth extends InstanceName {
  readonly state: HealthState;
  /** The public address that this health refers to; empty if Google reports no address. */
  readonly address: string;
}

/**
 * Returns the health that the load balancer reports for each controller, in the order of the config. If the pool does
 * not exist, all controllers are MISSING.
 */
export async function poolHealth(
  compute: Compute,
  config: LoadBalancerConfig,
  signal: AbortSignal,
): Promise<BackendHealth[]> {
  const { pool } = loadBalancerReferences(config);
  const held = new Set((await compute.get(pool, signal))?.instances.map(pathOf));
  return Promise.all(
    config.instances.map(async (instance): Promise<BackendHealth> => {
      const { path } = instanceReference(config.project, instance);
      if (!held.has(path)) return { ...instance, state: "MISSING", address: "" };
      const statuses = await compute.health(pool, path, signal);
      const worst = statuses.find(({ healthState }) => healthState !== "HEALTHY") ?? statuses[0];
      return { ...instance, state: toState(worst?.healthState), address: worst?.ipAddress ?? "" };
    }),
  );
}

function toState(healthState = ""): HealthState {
  return healthState === "HEALTHY" || healthState === "UNHEALTHY" ? healthState : "UNKNOWN";
}
