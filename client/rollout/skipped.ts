import { KhwError } from "../../proto/errors.ts";
import type { AgentNode } from "../cluster/agent-client.ts";
import type { NodeOutcome } from "./node-work.ts";

export interface Turn {
  /** The outcomes of the nodes before. */
  readonly outcomes: readonly NodeOutcome[];
  readonly signal: AbortSignal;
}

/** Returns the reason why a node is skipped (interruption, or a failure elsewhere); undefined if it is not. */
export function whyNotBegun({ address }: AgentNode, { outcomes, signal }: Turn): KhwError | undefined {
  const node = address.name;
  if (signal.aborted) {
    return new KhwError("CANCELLED", "not begun: its turn had not come", {
      node,
      hint: "run the command again to go on",
    });
  }
  const failed = outcomes.find(({ error }) => error !== undefined)?.node.address.name;
  if (failed === undefined) return undefined;
  return new KhwError("PREFLIGHT_FAILED", `left as it was, since ${failed} failed: its API server serves on`, {
    node,
    hint: `mend ${failed} first`,
  });
}
