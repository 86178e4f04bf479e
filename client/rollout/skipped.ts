import { KhwError } from "../../proto/errors.ts";
import type { AgentNode } from "../cluster/agent-client.ts";
import type { NodeOutcome } from "./node-work.ts";

export interface Turn {
  /** Those that had their turn before. */
  readonly outcomes: readonly NodeOutcome[];
  readonly signal: AbortSignal;
}

/** Why a node whose turn has come is left as it is: the work was interrupted, or failed elsewhere. Undefined: it is not. */
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
