import type { ServiceError, status as Status } from "@grpc/grpc-js";
import { status as statuses } from "@grpc/grpc-js";
import type { KhwError } from "../../proto/errors.ts";
import { fromServiceError } from "../../proto/errors-wire.ts";
import type { Audit } from "../audit/audit.ts";
import { forAdministrators } from "./access.ts";
import type { Caller } from "./caller.ts";

export interface CallRecord {
  refuse(error: KhwError): void;
  /** Takes the subject of the call from the request, for the audit entry. */
  about(message: unknown): void;
  /**
   * Records the result of the call; any later result is ignored. The status is undefined if the caller disconnected
   * before the call had a result.
   */
  end(status: CallStatus | undefined): void;
}

interface CallStatus {
  readonly code?: Status | null | undefined;
  readonly details?: string | null | undefined;
  readonly metadata?: ServiceError["metadata"] | null | undefined;
}

/**
 * Records a call in the audit log. Calls that require an administrator are always recorded. Other calls are recorded
 * only if they are refused or fail.
 */
export function auditCall(
  audit: Audit,
  of: { readonly path: string; readonly caller: Caller | undefined; readonly address: string },
): CallRecord {
  const { path, caller, address } = of;
  const began = performance.now();
  let [target, recorded] = ["", false];
  const entry = (result: string, message: string) => ({
    caller: caller?.name ?? "",
    role: caller?.role ?? "",
    serialNumber: caller?.serial ?? "",
    address,
    method: path.split(".").at(-1) ?? path,
    target,
    result,
    message,
    durationMillis: Math.round(performance.now() - began),
  });
  return {
    refuse: ({ code, message }) => {
      recorded = true;
      audit.refused(entry(code, message));
    },
    about: (message) => {
      if (target === "") target = auditTarget(message);
    },
    end: (status) => {
      if (recorded) return;
      recorded = true;
      const [result, message] = resultOf(status);
      if (forAdministrators(path)) audit.accepted(entry(result, message));
      else if (result !== "OK" && result !== "CANCELLED") audit.refused(entry(result, message));
    },
  };
}

function resultOf(status: CallStatus | undefined): readonly [string, string] {
  if (status === undefined) return ["CANCELLED", "the caller disconnected"];
  const { code, details, metadata } = status;
  if (code === statuses.OK) return ["OK", ""];
  const detail = fromServiceError({ metadata });
  if (detail !== undefined) return [detail.code, detail.message];
  return [statuses[code ?? statuses.UNKNOWN] ?? "UNKNOWN", details ?? ""];
}

/**
 * The request fields that identify the subject of a call. No other fields are recorded, because they may contain
 * secrets.
 */
const naming: ReadonlySet<string> = new Set([
  "component",
  "operationId",
  "id",
  "drained",
  "restoreId",
  "snapshotId",
  "phase",
  "node",
  "purge",
  "internalIp",
]);

function auditTarget(message: unknown): string {
  if (typeof message !== "object" || message === null) return "";
  return Object.entries(message)
    .filter(([name, value]) => naming.has(name) && value !== "" && typeof value !== "object")
    .map(([name, value]) => `${name}=${String(value).slice(0, 100)}`)
    .join(" ");
}
