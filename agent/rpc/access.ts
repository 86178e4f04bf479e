import { AgentServiceService } from "../../proto/gen/khw/agent/v1/agent.ts";
import { EnrolmentServiceService } from "../../proto/gen/khw/agent/v1/enrolment.ts";
import { EtcdServiceService } from "../../proto/gen/khw/agent/v1/etcd.ts";
import { EncryptionServiceService } from "../../proto/gen/khw/agent/v1/encryption.ts";

/** The methods that a viewer may call. All other methods, including unknown ones, require khw:admin. */
export const readOnly: ReadonlySet<string> = new Set([
  AgentServiceService.getInfo.path,
  AgentServiceService.getStatus.path,
  AgentServiceService.plan.path,
  AgentServiceService.watchOperation.path,
  AgentServiceService.watchStatus.path,
  AgentServiceService.getPlan.path,
  AgentServiceService.getHardening.path,
  AgentServiceService.streamLogs.path,
  AgentServiceService.listEvents.path,
  EnrolmentServiceService.getEnrolment.path,
  EtcdServiceService.getEtcdStatus.path,
  EtcdServiceService.listSnapshots.path,
  EncryptionServiceService.countStoredValues.path,
]);

/** The methods that every role may call, including the agent role: gRPC's health checks and server reflection. */
export const anyRole = /^\/grpc\.(?:health|reflection)\.v1(?:alpha)?\./;

/** Whether only khw:admin may call the method. */
export function forAdministrators(path: string): boolean {
  return !readOnly.has(path) && !anyRole.test(path);
}
