import type { Node } from "../node.ts";
import type { CallOptions } from "./calls.ts";

/** The parts of the agent that serve its RPCs. */
export interface HandlerOptions extends CallOptions {
  readonly node: () => Promise<Node>;
  readonly agentVersion: string;
}
