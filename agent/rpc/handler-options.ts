import type { Node } from "../node.ts";
import type { CallOptions } from "./calls.ts";

/** The parts of the agent that its RPCs are served from. */
export interface HandlerOptions extends CallOptions {
  readonly node: () => Promise<Node>;
  readonly agentVersion: string;
}
