import { type ServerInterceptor, ServerInterceptingCall } from "@grpc/grpc-js";
import { KhwError, toKhwError } from "../../proto/errors.ts";
import { toServiceError } from "../../proto/errors-wire.ts";
import type { Audit } from "../audit/audit.ts";
import { anyRole, readOnly } from "./access.ts";
import { auditCall } from "./audit-call.ts";
import type { CallLimits } from "./call-limits.ts";
import { type Caller, callerOf, expiry } from "./caller.ts";

/**
 * Refuses an unauthorized call before its message is read. Records the caller, the method and the result. A call fails
 * with UNAUTHENTICATED if the caller's certificate is no longer valid; a certificate can expire after the handshake. A
 * call fails with PERMISSION_DENIED if the caller lacks the required role, and with RESOURCE_EXHAUSTED if too many
 * calls are running.
 */
export function authorize({ audit, limits, answered: onAnswered }: AuthorizeOptions): ServerInterceptor {
  return (method, call) => {
    const caller = callerOf(call.getAuthContext());
    const record = auditCall(audit, { path: method.path, caller, address: call.getPeer() });
    let leave = (): void => {};
    // The work of a canceled call continues, so the call counts as running until its response is ready.
    let [asked, answered, ended] = [false, false, false];
    let isAdministrator = false;
    const settle = (): void => {
      if (!ended || (asked && !answered)) return;
      leave();
      record.end(undefined);
    };
    return new ServerInterceptingCall(call, {
      start: (next) => {
        try {
          const allowed = check(method.path, caller);
          leave = limits.enter(method.path, allowed.serial);
          isAdministrator = allowed.role === "admin" && !anyRole.test(method.path);
        } catch (error) {
          const refusal = toKhwError(error);
          record.refuse(refusal);
          return next({ onReceiveMetadata: () => call.sendStatus({ details: "", ...toServiceError(refusal) }) });
        }
        return next({
          onReceiveMessage: (message, go) => {
            record.about(message);
            go(message);
          },
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
        if (isAdministrator) onAnswered();
      },
      sendStatus: (status, next) => {
        answered = true;
        record.end(status);
        settle();
        next(status);
      },
    });
  };
}

export interface AuthorizeOptions {
  readonly audit: Audit;
  readonly limits: CallLimits;
  /** Called when the agent has sent a message to an administrator; not called for health checks and reflection. */
  readonly answered: () => void;
}

/** @throws KhwError if the caller is not allowed to make the call */
function check(path: string, caller: Caller | undefined): Caller {
  if (caller === undefined) {
    throw new KhwError("UNAUTHENTICATED", "the caller has no valid certificate from the management CA", {
      hint: "use a certificate from `khw-client pki issue` that has not expired",
    });
  }
  const ended = expiry(caller);
  if (ended !== undefined) throw ended;
  if (caller.role === "admin" || (caller.role === "viewer" && readOnly.has(path))) return caller;
  if (caller.role !== undefined && anyRole.test(path)) return caller;
  throw new KhwError(
    "PERMISSION_DENIED",
    `${caller.name} (role ${caller.role ?? "none"}) is not allowed to call ${path.split("/").at(-1) ?? path}`,
    {
      hint: "use an identity with the role khw:admin",
    },
  );
}
