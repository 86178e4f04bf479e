import { type ServerInterceptor, ServerInterceptingCall, type ServerUnaryCall } from "@grpc/grpc-js";
import { KhwError } from "../../proto/errors.ts";
import { toServiceError } from "../../proto/errors-wire.ts";
import { AgentServiceService } from "../../proto/gen/khw/agent/v1/agent.ts";
import { EnrolmentServiceService } from "../../proto/gen/khw/agent/v1/enrolment.ts";
import { EtcdServiceService } from "../../proto/gen/khw/agent/v1/etcd.ts";
import { EncryptionServiceService } from "../../proto/gen/khw/agent/v1/encryption.ts";
import { type Role, roleOf } from "../../proto/roles.ts";

/** The methods that a viewer may call; every other, known or not, is for khw:admin alone. */
const readOnly: ReadonlySet<string> = new Set([
  AgentServiceService.getInfo.path,
  AgentServiceService.getStatus.path,
  AgentServiceService.plan.path,
  AgentServiceService.watchOperation.path,
  AgentServiceService.watchStatus.path,
  AgentServiceService.getPlan.path,
  AgentServiceService.streamLogs.path,
  AgentServiceService.listEvents.path,
  EnrolmentServiceService.getEnrolment.path,
  EtcdServiceService.getEtcdStatus.path,
  EtcdServiceService.listSnapshots.path,
  EncryptionServiceService.countStoredValues.path,
]);

/** What every role may call, an agent's too: how the server is, and what it offers. */
const anyRole = /^\/grpc\.(?:health|reflection)\.v1(?:alpha)?\./;

type AuthContext = ReturnType<ServerUnaryCall<unknown, unknown>["getAuthContext"]>;

export interface Caller {
  readonly name: string;
  readonly role: Role | undefined;
}

/** Who calls, by its certificate; undefined when it has none that the management CA vouches for. */
export function callerOf({ sslPeerCertificate: certificate }: AuthContext): Caller | undefined {
  if (certificate === undefined) return undefined;
  const { CN: names, O: organization } = certificate.subject;
  return { name: [names].flat().join(" "), role: roleOf(organization) };
}

/** Refuses a call before its message is read: UNAUTHENTICATED without a valid certificate, PERMISSION_DENIED without the role. */
export function authorize(log: (line: string) => void): ServerInterceptor {
  return (method, call) =>
    new ServerInterceptingCall(call, {
      start: (next) => {
        const refusal = refuse(method.path, callerOf(call.getAuthContext()));
        if (refusal === undefined) return next();
        log(`refused ${method.path} from ${call.getPeer()}: ${refusal.message}`);
        return next({ onReceiveMetadata: () => call.sendStatus({ details: "", ...toServiceError(refusal) }) });
      },
    });
}

function refuse(path: string, caller: Caller | undefined): KhwError | undefined {
  if (caller === undefined) {
    return new KhwError("UNAUTHENTICATED", "the caller has no valid certificate of the management CA", {
      hint: "use a certificate made by `khw-client pki issue` that has not expired",
    });
  }
  if (caller.role === "admin" || (caller.role === "viewer" && readOnly.has(path))) return undefined;
  if (caller.role !== undefined && anyRole.test(path)) return undefined;
  return new KhwError(
    "PERMISSION_DENIED",
    `${caller.name} (role ${caller.role ?? "none"}) may not call ${path.split("/").at(-1) ?? path}`,
    {
      hint: "use an identity with the role khw:admin",
    },
  );
}
