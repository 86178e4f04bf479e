import type { AgentServiceServer } from "../../proto/gen/khw/agent/v1/agent.ts";
import { eventHandlers } from "./events.ts";
import type { HandlerOptions } from "./handler-options.ts";
import { logHandlers } from "./logs.ts";
import { operationHandlers } from "./operations.ts";
import { statusHandlers } from "./status.ts";
import { upkeepHandlers } from "./upkeep.ts";

/**
 * Handles every RPC: parses the request, calls the responsible part, answers. authorize.ts decides before that who
 * may call.
 */
export function handlers(options: HandlerOptions): AgentServiceServer {
  return {
    ...statusHandlers(options),
    ...operationHandlers(options),
    ...upkeepHandlers(options),
    ...logHandlers(options),
    ...eventHandlers(options),
  };
}
