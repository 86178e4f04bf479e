import type { KhwError } from "../../proto/errors.ts";
import type { DesiredState } from "../../proto/gen/khw/agent/v1/agent.ts";
import type { AgentNode } from "../cluster/agent-client.ts";

/** A node and its desired state. */
export interface NodeWork {
  readonly node: AgentNode;
  readonly desired: DesiredState;
}

/** The result of the work on one node. */
export interface NodeOutcome {
  readonly node: AgentNode;
  readonly changed: number;
  readonly error?: KhwError;
}
