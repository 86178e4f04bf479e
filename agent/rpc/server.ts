import { Server } from "@grpc/grpc-js";
import { HealthService } from "../../proto/gen/grpc/health/v1/health.ts";
import { ServerReflectionService } from "../../proto/gen/grpc/reflection/v1/reflection.ts";
import { type AgentServiceServer, AgentServiceService } from "../../proto/gen/khw/agent/v1/agent.ts";
import { EnrolmentServiceService } from "../../proto/gen/khw/agent/v1/enrolment.ts";
import { agentUpgradeHandlers } from "./agent-upgrade.ts";
import { type Enrolment, enrolmentHandlers } from "./enrolment.ts";
import { EtcdServiceService } from "../../proto/gen/khw/agent/v1/etcd.ts";
import { etcdHandlers } from "./etcd.ts";
import { EncryptionServiceService } from "../../proto/gen/khw/agent/v1/encryption.ts";
import { encryptionHandlers } from "./encryption.ts";
import { RemovalServiceService } from "../../proto/gen/khw/agent/v1/removal.ts";
import { removalHandlers } from "./removal.ts";
import type { HandlerOptions } from "./handler-options.ts";
import { healthHandlers } from "./health.ts";
import { eventHandlers } from "./events.ts";
import { logHandlers } from "./logs.ts";
import { operationHandlers } from "./operations.ts";
import { statusHandlers } from "./status.ts";
import { upkeepHandlers } from "./upkeep.ts";
import { reflectionAlphaService, reflectionHandlers } from "./reflection.ts";
import { serverOptions } from "./server-options.ts";

/** Creates the server that offers all of the agent's RPCs to authorized callers. */
export function createRpcServer(options: HandlerOptions & { readonly enrolment: Enrolment }): Server {
  const { audit, node } = options;
  const answered = (): void => {
    node().then(
      ({ agentUpgrades }) => agentUpgrades.answered(),
      () => {},
    );
  };
  const server = new Server(serverOptions({ audit, answered }));
  server.addService(AgentServiceService, agentHandlers(options));
  server.addService(EnrolmentServiceService, enrolmentHandlers(options.enrolment, options));
  server.addService(EtcdServiceService, etcdHandlers(options));
  server.addService(EncryptionServiceService, encryptionHandlers(options));
  server.addService(RemovalServiceService, removalHandlers(options));
  server.addService(HealthService, healthHandlers(options));
  server.addService(ServerReflectionService, { ...reflectionHandlers });
  server.addService(reflectionAlphaService, { ...reflectionHandlers });
  return server;
}

/**
 * Handles the RPCs of AgentService. Each handler parses the request, calls the responsible part of the agent, and
 * responds. authorize.ts has already checked that the caller may make the call.
 */
function agentHandlers(options: HandlerOptions): AgentServiceServer {
  return {
    ...statusHandlers(options),
    ...operationHandlers(options),
    ...upkeepHandlers(options),
    ...logHandlers(options),
    ...eventHandlers(options),
    ...agentUpgradeHandlers(options),
  };
}
