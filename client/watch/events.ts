import type { KhwError } from "../../proto/errors.ts";
import type { GetStatusResponse, StatusChange } from "../../proto/gen/khw/agent/v1/agent.ts";
import type { ClusterState, LoadBalancerState, NodeState } from "../status/state.ts";

/** An event of a watched node. */
export type NodeEvent =
  | { readonly kind: "status"; readonly node: string; readonly status: GetStatusResponse }
  | { readonly kind: "change"; readonly node: string; readonly change: StatusChange }
  /** The node is not answering; the next attempt is made after this delay. */
  | { readonly kind: "away"; readonly node: string; readonly error: KhwError; readonly retryMillis: number };

/** An event, with the state before and after the event. */
export type Heard =
  | { readonly kind: "node"; readonly event: NodeEvent; readonly before: NodeState; readonly after: NodeState }
  | {
      readonly kind: "loadBalancer";
      readonly before: LoadBalancerState | undefined;
      readonly after: LoadBalancerState;
    };

/** Shows the watched nodes and their changes. */
export interface Display {
  hear(heard: Heard, cluster: () => ClusterState): void;
  close(): void;
}

export function nodeAfter(before: NodeState, event: NodeEvent): NodeState {
  const { node } = before;
  switch (event.kind) {
    case "status":
      return { node, status: event.status };
    case "change":
      return before.status === undefined ? before : { node, status: applyChange(before.status, event.change) };
    case "away":
      return { ...before, error: event.error };
  }
}

/** Returns the status with the change applied. */
export function applyChange(status: GetStatusResponse, change: StatusChange): GetStatusResponse {
  const { operation, components, certificates, drift, maintenance, machine, upgrade, agentUpgrade } = change;
  const byName = new Map([...status.components, ...components].map((component) => [component.name, component]));
  return {
    ...status,
    ...(operation && { operation }),
    ...(drift && { drift }),
    ...(maintenance && { maintenance }),
    ...(machine && { machine }),
    ...(upgrade && { upgrade }),
    ...(agentUpgrade && { agentUpgrade }),
    components: components.length === 0 ? status.components : [...byName.values()],
    certificates: certificates.length === 0 ? status.certificates : certificates,
  };
}
