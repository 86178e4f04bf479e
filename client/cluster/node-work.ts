import type { DesiredState, Maintenance } from "../../proto/gen/khw/agent/v1/agent.ts";
import type { AgentNode } from "./agent-client.ts";

/** A node and its desired state. */
export interface NodeWork {
  readonly node: AgentNode;
  readonly desired: DesiredState;
  /**
   * Whether the node is drained, as the agent reported at the start of the command; undefined if the agent did not
   * answer.
   */
  readonly maintenance: Maintenance | undefined;
}
