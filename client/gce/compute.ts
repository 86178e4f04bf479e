import type { Reference } from "./references.ts";
import type { HealthStatus, InstanceMetadata, Kind, Resources } from "./resources.ts";

/** The body of an insert or patch request, with Google's field names. The resource's name comes from the reference. */
export type Body<K extends Kind> = Partial<Resources[K]> & { readonly description?: string };

/** The possible changes to a target pool; the API has no PATCH for pools. The values are paths of resources. */
export type PoolChange =
  | { readonly verb: "addInstance" | "removeInstance"; readonly instances: readonly string[] }
  | { readonly verb: "addHealthCheck" | "removeHealthCheck"; readonly healthCheck: string };

/**
 * The part of the Compute Engine API that khw uses. The promise of a change resolves when Google's operation is done.
 * Every failure is a KhwError: COMPUTE_FAILED with Google's code, reason and message, or TIMEOUT if an operation does
 * not end in time. If the API refused the request or the change, the cause of COMPUTE_FAILED is a Refusal.
 */
export interface Compute {
  /** Returns undefined if the resource does not exist. */
  get<K extends Kind>(reference: Reference<K>, signal: AbortSignal): Promise<Resources[K] | undefined>;
  insert<K extends Kind>(reference: Reference<K>, body: Body<K>, signal: AbortSignal): Promise<void>;
  /** Replaces only the fields that the body contains. */
  patch<K extends "httpHealthChecks" | "firewalls">(
    reference: Reference<K>,
    body: Body<K>,
    signal: AbortSignal,
  ): Promise<void>;
  delete(reference: Reference, signal: AbortSignal): Promise<void>;
  changePool(pool: Reference<"targetPools">, change: PoolChange, signal: AbortSignal): Promise<void>;
  /**
   * Replaces all of an instance's metadata. Fails with conditionNotMet if the metadata has changed since the
   * fingerprint was read.
   */
  setMetadata(instance: Reference<"instances">, metadata: InstanceMetadata, signal: AbortSignal): Promise<void>;
  /** Returns an instance's health in the pool, once for each forwarding rule; empty if no rule points to the pool. */
  health(pool: Reference<"targetPools">, instance: string, signal: AbortSignal): Promise<HealthStatus[]>;
  /** Returns all of the project's instances with that name, in any zone. */
  instancesNamed(project: string, name: string, signal: AbortSignal): Promise<Resources["instances"][]>;
}
