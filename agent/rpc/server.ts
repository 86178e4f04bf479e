import { Server } from "@grpc/grpc-js";
import { HealthService } from "../../proto/gen/grpc/health/v1/health.ts";
import { ServerReflectionService } from "../../proto/gen/grpc/reflection/v1/reflection.ts";
import { AgentServiceService } from "../../proto/gen/khw/agent/v1/agent.ts";
import { EncryptionServiceService } from "../../proto/gen/khw/agent/v1/encryption.ts";
import { authorize } from "./authorize.ts";
import { encryptionHandlers } from "./encryption.ts";
import { type HandlerOptions, handlers } from "./handlers.ts";
import { healthHandlers } from "./health.ts";
import { reflectionAlphaService, reflectionHandlers } from "./reflection.ts";

/** All that the agent answers, to those who may ask. */
export function createRpcServer(options: HandlerOptions): Server {
  const server = new Server({ interceptors: [authorize(options.log)] });
  server.addService(AgentServiceService, handlers(options));
  server.addService(EncryptionServiceService, encryptionHandlers(options));
  server.addService(HealthService, healthHandlers(options));
  server.addService(ServerReflectionService, { ...reflectionHandlers });
  server.addService(reflectionAlphaService, { ...reflectionHandlers });
  return server;
}
