import type { Reference } from "./references.ts";
import type { HealthStatus, InstanceMetadata, Kind, Resources } from "./resources.ts";

/** What an insert or patch sends: fields by Google's names; the name comes from the reference. */
export type Body<K extends Kind> = Partial<Resources[K]> & { readonly description?: string };

/** What can be done to a target pool, which has no PATCH. Values are paths. */
export type PoolChange =
  | { readonly verb: "addInstance"; readonly instances: readonly string[] }
  | { readonly verb: "addHealthCheck" | "removeHealthCheck"; readonly healthCheck: string };

/**
 * The part of the Compute Engine API that khw uses: the seam between what the load balancer shall be and Google.
 * A mutation resolves when its operation is done. Failures are KhwErrors COMPUTE_FAILED with Google's code, reason and
 * message, whose cause is a Refusal when the API answered; TIMEOUT when an operation does not end.
 */
export interface Compute {
  /** Undefined when there is none. */
  get<K extends Kind>(reference: Reference<K>, signal: AbortSignal): Promise<Resources[K] | undefined>;
  insert<K extends Kind>(reference: Reference<K>, body: Body<K>, signal: AbortSignal): Promise<void>;
  /** Replaces the fields that the body holds. */
  patch<K extends "httpHealthChecks" | "firewalls">(
    reference: Reference<K>,
    body: Body<K>,
    signal: AbortSignal,
  ): Promise<void>;
  delete(reference: Reference, signal: AbortSignal): Promise<void>;
  changePool(pool: Reference<"targetPools">, change: PoolChange, signal: AbortSignal): Promise<void>;
  /** Replaces all of an instance's metadata, unless they changed since the fingerprint was read (conditionNotMet). */
  setMetadata(instance: Reference<"instances">, metadata: InstanceMetadata, signal: AbortSignal): Promise<void>;
  /** The health of one instance of the pool, by forwarding rule; empty while no rule leads to the pool. */
  health(pool: Reference<"targetPools">, instance: string, signal: AbortSignal): Promise<HealthStatus[]>;
  /** All of the project's instances of that name, in any zone. */
  instancesNamed(project: string, name: string, signal: AbortSignal): Promise<Resources["instances"][]>;
}
