import type { DesiredState } from "../../proto/gen/khw/agent/v1/agent.ts";
import type { AgentNode } from "./agent-client.ts";

/** A node and its desired state. */
export interface NodeWork {
  readonly node: AgentNode;
  readonly desired: DesiredState;
}
