import { KhwError } from "../../proto/errors.ts";
import { type Fields, isFields, number, objects, textField } from "./fields.ts";

export interface RefusalOptions {
  readonly reason?: string;
  readonly retryAfterMillis?: number;
}

/** A refusal from the API, either in a response or as the result of an operation. */
export class Refusal extends Error {
  override readonly name = "Refusal";
  /** The HTTP status code. */
  readonly status: number;
  /** Google's reason, for example `alreadyExists` in responses and `RESOURCE_ALREADY_EXISTS` in operations. */
  readonly reason: string;
  /** The pause that Google requests before the next attempt; 0 if Google requests no pause. */
  readonly retryAfterMillis: number;

  constructor(status: number, message: string, { reason = "", retryAfterMillis = 0 }: RefusalOptions = {}) {
    super(message);
    this.status = status;
    this.reason = reason;
    this.retryAfterMillis = retryAfterMillis;
  }
}

/** The refusals that khw handles, in both of Google's spellings. */
const reasons = {
  alreadyExists: ["alreadyExists", "RESOURCE_ALREADY_EXISTS"],
  notFound: ["notFound", "RESOURCE_NOT_FOUND"],
  inUse: ["resourceInUseByAnotherResource", "RESOURCE_IN_USE_BY_ANOTHER_RESOURCE"],
  notReady: ["resourceNotReady", "RESOURCE_NOT_READY"],
  rateLimit: ["rateLimitExceeded", "userRateLimitExceeded", "RATE_LIMIT_EXCEEDED"],
  quota: ["quotaExceeded", "QUOTA_EXCEEDED"],
  disabled: ["accessNotConfigured", "SERVICE_DISABLED"],
  changed: ["conditionNotMet", "CONDITION_NOT_MET"],
} as const;

export function refusedBecause(error: unknown, why: keyof typeof reasons): boolean {
  const refusal = error instanceof KhwError ? error.cause : error;
  return refusal instanceof Refusal && (reasons[why] as readonly string[]).includes(refusal.reason);
}

/**
 * Reads the refusal in a response: Google's error JSON, or text from a proxy in between. `retryAfter` is the value of
 * the Retry-After header.
 */
export function readRefusal(status: number, body: unknown, retryAfter: unknown): Refusal {
  const error = isFields(body) && isFields(body["error"]) ? body["error"] : {};
  const [first = {}] = objects(error, "errors");
  const reason = textField(first, "reason") || textField(error, "status");
  const message = textField(error, "message") || textField(first, "message") || "no explanation";
  return new Refusal(status, message, {
    reason,
    retryAfterMillis: Number(retryAfter) > 0 ? Number(retryAfter) * 1000 : 0,
  });
}

/** Returns the refusal in a finished operation; undefined if the operation succeeded. */
export function operationRefusal(operation: Fields): Refusal | undefined {
  const { error } = operation;
  if (!isFields(error)) return undefined;
  const [first = {}] = objects(error, "errors");
  return new Refusal(number(operation, "httpErrorStatusCode"), textField(first, "message"), {
    reason: textField(first, "code"),
  });
}

/**
 * Turns the refusal into khw's error. `what` describes the request, for example `insert firewalls/allow-health-check`.
 */
export function computeError(what: string, path: string, refusal: Refusal): KhwError {
  const code = [refusal.status || "", refusal.reason].filter((part) => part !== "").join(" ");
  return new KhwError("COMPUTE_FAILED", `${what}: ${code}: ${refusal.message}`, {
    hint: hintFor(refusal, path),
    cause: refusal,
  });
}

function hintFor(refusal: Refusal, path: string): string | undefined {
  const project = path.split("/")[1] ?? "";
  if (refusal.status === 401) return "sign in with gcloud auth application-default login";
  if (refusedBecause(refusal, "quota"))
    return `delete unused resources, or request a higher quota: https://console.cloud.google.com/iam-admin/quotas?project=${project}`;
  if (refusedBecause(refusal, "rateLimit"))
    return "the project has reached its limit for the request rate; wait a minute, then run the command again";
  if (refusedBecause(refusal, "disabled")) return `gcloud services enable compute.googleapis.com --project ${project}`;
  if (refusedBecause(refusal, "inUse"))
    return "remove the resource that uses it first; khw does not manage that resource";
  if (refusal.status === 403 && path.includes("/instances/")) {
    return `grant the account roles/compute.instanceAdmin.v1 in project ${project}, and roles/iam.serviceAccountUser on the instance's service account`;
  }
  if (refusal.status === 403 && path.endsWith("/aggregated/instances")) {
    return `grant the account roles/compute.viewer in project ${project}`;
  }
  if (refusal.status === 403) {
    const role = path.includes("/firewalls") ? "roles/compute.securityAdmin" : "roles/compute.loadBalancerAdmin";
    return `grant the account ${role} in project ${project}`;
  }
  if (refusal.status === 404)
    return "check gce.project, gce.region, gce.zone and gce.network, and check that the instances exist";
  return undefined;
}
