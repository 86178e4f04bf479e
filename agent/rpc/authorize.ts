import { type ServerInterceptor, ServerInterceptingCall, type ServerUnaryCall } from "@grpc/grpc-js";
import { KhwError, toKhwError } from "../../proto/errors.ts";
import { toServiceError } from "../../proto/errors-wire.ts";
import { AgentServiceService } from "../../proto/gen/khw/agent/v1/agent.ts";
import { EnrolmentServiceService } from "../../proto/gen/khw/agent/v1/enrolment.ts";
import { EtcdServiceService } from "../../proto/gen/khw/agent/v1/etcd.ts";
import { EncryptionServiceService } from "../../proto/gen/khw/agent/v1/encryption.ts";
import { type Role, roleOf } from "../../proto/roles.ts";
import type { CallLimits } from "./call-limits.ts";

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
  /** Of the certificate, in hex. */
  readonly serial: string;
  readonly validToUnixMillis: number;
}

/** Who calls, by its certificate; undefined when it has none. */
export function callerOf({ sslPeerCertificate: certificate }: AuthContext): Caller | undefined {
  if (certificate === undefined) return undefined;
  const { CN: names, O: organization } = certificate.subject;
  return {
    name: [names].flat().join(" "),
    role: roleOf(organization),
    serial: certificate.serialNumber,
    validToUnixMillis: Date.parse(certificate.valid_to),
  };
}

/** The error for a caller whose certificate has ended; undefined while it is valid. */
export function expiry({ name, serial, validToUnixMillis }: Caller): KhwError | undefined {
  const now = Date.now();
  if (now < validToUnixMillis) return undefined;
  const ended = Number.isNaN(validToUnixMillis)
    ? "at an unreadable time"
    : `at ${new Date(validToUnixMillis).toISOString()}`;
  const clock = new Date(now).toISOString();
  return new KhwError("UNAUTHENTICATED", `the certificate ${serial} of ${name} ended ${ended}`, {
    hint: `make another with \`khw-client pki issue\`; the agent's clock says ${clock}: put it right if it is wrong`,
  });
}

/**
 * Refuses a call before its message is read: UNAUTHENTICATED without a certificate that is valid now (it may have ended since the
 * connection was made), PERMISSION_DENIED without the role, RESOURCE_EXHAUSTED when too many calls run.
 */
export function authorize({ log, limits }: AuthorizeOptions): ServerInterceptor {
  return (method, call) => {
    let leave = (): void => {};
    // A caller that takes its call back leaves the work behind: the call counts until the answer is there.
    let [asked, answered, ended] = [false, false, false];
    const settle = (): void => {
      if (ended && (answered || !asked)) leave();
    };
    return new ServerInterceptingCall(call, {
      start: (next) => {
        const caller = callerOf(call.getAuthContext());
        try {
          const allowed = check(method.path, caller);
          leave = limits.enter(method.path, allowed.serial);
        } catch (error) {
          const refusal = toKhwError(error);
          log(`refused ${method.path} from ${call.getPeer()}: ${refusal.message}`);
          return next({ onReceiveMetadata: () => call.sendStatus({ details: "", ...toServiceError(refusal) }) });
        }
        return next({
          onReceiveHalfClose: (go) => {
            asked = !method.responseStream;
            go();
          },
          onCancel: () => {
            ended = true;
            settle();
          },
        });
      },
      sendMessage: (message, next) => {
        answered = true;
        settle();
        next(message);
      },
      sendStatus: (status, next) => {
        answered = true;
        settle();
        next(status);
      },
    });
  };
}

export interface AuthorizeOptions {
  readonly log: (line: string) => void;
  readonly limits: CallLimits;
}

/** @throws KhwError for a caller who may not call */
function check(path: string, caller: Caller | undefined): Caller {
  if (caller === undefined) {
    throw new KhwError("UNAUTHENTICATED", "the caller has no valid certificate of the management CA", {
      hint: "use a certificate made by `khw-client pki issue` that has not expired",
    });
  }
  const ended = expiry(caller);
  if (ended !== undefined) throw ended;
  if (caller.role === "admin" || (caller.role === "viewer" && readOnly.has(path))) return caller;
  if (caller.role !== undefined && anyRole.test(path)) return caller;
  throw new KhwError(
    "PERMISSION_DENIED",
    `${caller.name} (role ${caller.role ?? "none"}) may not call ${path.split("/").at(-1) ?? path}`,
    {
      hint: "use an identity with the role khw:admin",
    },
  );
}
