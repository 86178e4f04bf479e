import { setTimeout as delay } from "node:timers/promises";
import { status } from "@grpc/grpc-js";
import {
  type HealthCheckRequest,
  HealthCheckResponse_ServingStatus as Serving,
  type HealthCheckResponse,
  type HealthServer,
} from "../../proto/gen/grpc/health/v1/health.ts";
import { AgentServiceService } from "../../proto/gen/khw/agent/v1/agent.ts";
import { send, streaming } from "./calls.ts";
import type { HandlerOptions } from "./handler-options.ts";

const agentService = AgentServiceService.getInfo.path.split("/")[1] ?? "";
/** The service names that a health check accepts: the empty name for the whole server, and the agent's service. */
const services: ReadonlySet<string> = new Set(["", agentService]);

const againMillis = 5_000;

/** Serves gRPC's standard health check. The agent reports SERVING once it knows its machine's identity. */
export function healthHandlers(options: HandlerOptions): HealthServer {
  const look = (): Promise<Serving> =>
    options.node().then(
      () => Serving.SERVING,
      () => Serving.NOT_SERVING,
    );
  return {
    check: (call, callback) => {
      if (!services.has(call.request.service)) {
        callback({ code: status.NOT_FOUND, details: "this agent has no such service" });
        return;
      }
      void look().then((serving) => callback(null, { status: serving }));
    },
    watch: streaming<HealthCheckRequest, HealthCheckResponse>(options, async (call, gone) => {
      if (!services.has(call.request.service)) {
        await send(call, { status: Serving.SERVICE_UNKNOWN }, gone);
        return aborted(gone);
      }
      let serving = await look();
      await send(call, { status: serving }, gone);
      while (serving !== Serving.SERVING) {
        // No event signals that the metadata server is available again, so the agent polls the server.
        await delay(againMillis, undefined, { signal: gone, ref: false });
        serving = await look();
        if (serving === Serving.SERVING) await send(call, { status: serving }, gone);
      }
      // Once the status is SERVING, it no longer changes.
      return aborted(gone);
    }),
  };
}

/** Rejects when the signal aborts. */
function aborted(signal: AbortSignal): Promise<never> {
  return new Promise((_, reject) => {
    if (signal.aborted) reject(signal.reason);
    signal.addEventListener("abort", () => reject(signal.reason), { once: true });
  });
}
