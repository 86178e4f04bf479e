import type { Node } from "../node.ts";
import type { CallOptions } from "./calls.ts";

/** The values that the agent's RPC handlers need. */
export interface HandlerOptions extends CallOptions {
  readonly node: () => Promise<Node>;
  readonly agentVersion: string;
}
