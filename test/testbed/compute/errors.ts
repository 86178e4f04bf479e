import { STATUS_CODES } from "node:http";
import type { Violation } from "./check.ts";
import { textOf } from "./resources.ts";

/**
 * An error that the API returns. `reason` is Google's keyword in a response. In an operation's result, the error code
 * is the same keyword in capitals.
 */
export class ApiError extends Error {
  readonly status: number;
  readonly reason: string;
  override readonly name = "ApiError";

  constructor(status: number, reason: string, message: string) {
    super(message);
    this.status = status;
    this.reason = reason;
  }

  /** Returns the response body, in the format of Google's JSON APIs. */
  toBody(): object {
    const { status, reason, message } = this;
    return { error: { code: status, message, errors: [{ message, domain: "global", reason }] } };
  }

  /** Returns the same error in the form of an operation's result. */
  toOperation(): OperationError {
    return { code: operationCodes[this.reason] ?? "INTERNAL_ERROR", message: this.message, httpStatus: this.status };
  }
}

/** The error of a failed operation. */
export interface OperationError {
  readonly code: string;
  readonly message: string;
  readonly httpStatus: number;
}

const operationCodes: Readonly<Record<string, string>> = {
  alreadyExists: "RESOURCE_ALREADY_EXISTS",
  notFound: "RESOURCE_NOT_FOUND",
  resourceInUseByAnotherResource: "RESOURCE_IN_USE_BY_ANOTHER_RESOURCE",
  resourceNotReady: "RESOURCE_NOT_READY",
  quotaExceeded: "QUOTA_EXCEEDED",
  invalid: "INVALID_FIELD_VALUE",
  conditionNotMet: "CONDITION_NOT_MET",
};

/** Returns the fields of a failed operation. */
export function operationFailure({ code, message, httpStatus }: OperationError): object {
  return {
    error: { errors: [{ code, message }] },
    httpErrorStatusCode: httpStatus,
    httpErrorMessage: (STATUS_CODES[httpStatus] ?? "").toUpperCase(),
  };
}

/** Returns a 404: the resource does not exist. `path` starts at `projects/`. */
export function notFound(path: string): ApiError {
  return new ApiError(404, "notFound", `The resource '${path}' was not found`);
}

/** Returns a 409: the name of the new resource is already in use. */
export function alreadyExists(path: string): ApiError {
  return new ApiError(409, "alreadyExists", `The resource '${path}' already exists`);
}

/** Returns a 400: another operation on the resource is running or has just ended. */
export function notReady(path: string): ApiError {
  return new ApiError(400, "resourceNotReady", `The resource '${path}' is not ready`);
}

/** Returns a 400: the resource to delete is in use by another resource. */
export function inUse(noun: string, path: string, user: string): ApiError {
  const message = `The ${noun} resource '${path}' is already being used by '${user}'`;
  return new ApiError(400, "resourceInUseByAnotherResource", message);
}

/** Returns a 400: the value of a field is not allowed. `why` is a sentence. */
export function invalid(field: string, value: unknown, why: string): ApiError {
  return new ApiError(400, "invalid", `Invalid value for field '${field}': '${textOf(value)}'. ${why}`);
}

/** Returns a 403: the project's quota is exceeded. */
export function quotaExceeded(metric: string, limit: number, scope: string): ApiError {
  const where = scope.replace(/^projects\/[^/]+\//, "").replace("regions/", "region ");
  return new ApiError(403, "quotaExceeded", `Quota '${metric}' exceeded.  Limit: ${limit.toFixed(1)} in ${where}.`);
}

/**
 * Returns a 501: the method exists in Google's API, but is not emulated. Google never answers with 501, so a test
 * cannot mistake this status for real behavior.
 */
export function notEmulated(what: string): ApiError {
  return new ApiError(501, "notImplemented", `${what} is not emulated`);
}

/** Returns the error for a request body that violates its schema. */
export function violationError(violation: Violation): ApiError {
  return violationErrors[violation.problem](violation);
}

const violationErrors: Readonly<Record<Violation["problem"], (violation: Violation) => ApiError>> = {
  missing: ({ at }) => new ApiError(400, "required", `Required field '${at}' not specified`),
  unknown: ({ at }) => unknownName(at.slice(at.lastIndexOf(".") + 1), "Cannot find field."),
  pattern: ({ at, value, wanted }) => invalid(at, value, `Must be a match of regex '${wanted}'`),
  enum: ({ at, value, wanted }) => invalid(at, value, `Must be one of: ${wanted}`),
  type: ({ at, value, wanted }) => invalid(at, value, `Must be of type ${wanted}`),
  format: ({ at, value, wanted }) => invalid(at, value, `Must be of format ${wanted}`),
};

/** Returns a 400: the API has no such field or parameter. */
export function unknownName(name: string, why: string): ApiError {
  return new ApiError(400, "badRequest", `Invalid JSON payload received. Unknown name "${name}": ${why}`);
}
