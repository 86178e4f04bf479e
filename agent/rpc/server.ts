import { Server } from "@grpc/grpc-js";
import { HealthService } from "../../proto/gen/grpc/health/v1/health.ts";
import { ServerReflectionService } from "../../proto/gen/grpc/reflection/v1/reflection.ts";
import { AgentServiceService } from "../../proto/gen/khw/agent/v1/agent.ts";
import { EnrolmentServiceService } from "../../proto/gen/khw/agent/v1/enrolment.ts";
import { type Enrolment, enrolmentHandlers } from "./enrolment.ts";
import { EtcdServiceService } from "../../proto/gen/khw/agent/v1/etcd.ts";
import { etcdHandlers } from "./etcd.ts";
import { EncryptionServiceService } from "../../proto/gen/khw/agent/v1/encryption.ts";
import { encryptionHandlers } from "./encryption.ts";
import type { HandlerOptions } from "./handler-options.ts";
import { handlers } from "./handlers.ts";
import { healthHandlers } from "./health.ts";
import { reflectionAlphaService, reflectionHandlers } from "./reflection.ts";
import { serverOptions } from "./server-options.ts";

/** Creates the server with all RPCs of the agent, for authorized callers. */
export function createRpcServer(options: HandlerOptions & { readonly enrolment: Enrolment }): Server {
  const server = new Server(serverOptions(options));
  server.addService(AgentServiceService, handlers(options));
  server.addService(EnrolmentServiceService, enrolmentHandlers(options.enrolment, options));
  server.addService(EtcdServiceService, etcdHandlers(options));
  server.addService(EncryptionServiceService, encryptionHandlers(options));
  server.addService(HealthService, healthHandlers(options));
  server.addService(ServerReflectionService, { ...reflectionHandlers });
  server.addService(reflectionAlphaService, { ...reflectionHandlers });
  return server;
}
