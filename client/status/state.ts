import type { KhwError } from "../../proto/errors.ts";
import type { GetStatusResponse } from "../../proto/gen/khw/agent/v1/agent.ts";
import type { BackendHealth } from "../gce/health.ts";
import type { UnderWay } from "../rotations/under-way.ts";

/** The last known state of a node. If `status` and `error` are both absent, the node has not answered yet. */
export interface NodeState {
  readonly node: string;
  /** The last status. */
  readonly status?: GetStatusResponse | undefined;
  /** The reason why the node does not answer now. */
  readonly error?: KhwError | undefined;
}

export interface LoadBalancerState {
  readonly backends: readonly BackendHealth[];
  readonly error?: KhwError | undefined;
}

/** Everything that `status` shows. */
export interface ClusterState {
  readonly nodes: readonly NodeState[];
  /** Absent if khw does not manage the load balancer, or has not read its state yet. */
  readonly loadBalancer?: LoadBalancerState | undefined;
  /** The rotations that the credentials folder shows; absent if no rotation is under way. */
  readonly rotations?: readonly UnderWay[] | undefined;
}
