import type { KhwError } from "../../proto/errors.ts";
import type { GetStatusResponse } from "../../proto/gen/khw/agent/v1/agent.ts";
import type { BackendHealth } from "../gce/health.ts";

/** A node as far as the client knows it. With neither status nor error, it has not answered yet. */
export interface NodeState {
  readonly node: string;
  /** What it said last. */
  readonly status?: GetStatusResponse | undefined;
  /** Why it does not answer now. */
  readonly error?: KhwError | undefined;
}

export interface LoadBalancerState {
  readonly backends: readonly BackendHealth[];
  readonly error?: KhwError | undefined;
}

/** Everything that `status` tells of. */
export interface ClusterState {
  readonly nodes: readonly NodeState[];
  /** Absent where khw leaves it alone, or has not asked yet. */
  readonly loadBalancer?: LoadBalancerState | undefined;
}
