import type { status } from "@grpc/grpc-js";
import type { ErrorDetail } from "./gen/khw/agent/v1/agent.ts";
import { exhaustionHint } from "./errno.ts";
import { keepLines, oneLine, paragraph } from "./sanitize.ts";

/**
 * Every error code of khw, with its gRPC status and the client's exit code (from sysexits.h where possible). The exit
 * codes 0 (done), 2 (`plan` found changes) and 130 (detached by Ctrl-C) can also occur without an error.
 */
const codes = {
  /** A flag, an argument, or a field of a request is invalid. */
  INVALID_ARGUMENT: { grpc: "INVALID_ARGUMENT", exit: 64 },
  /** khw.yaml or the agent's configuration is invalid. */
  CONFIG_INVALID: { grpc: "INVALID_ARGUMENT", exit: 78 },
  /** A certificate, key, kubeconfig or encryption config is missing, expired or otherwise invalid. */
  CREDENTIAL_INVALID: { grpc: "INVALID_ARGUMENT", exit: 65 },
  /** The caller has no valid certificate from the management CA. */
  UNAUTHENTICATED: { grpc: "UNAUTHENTICATED", exit: 77 },
  /** The caller's role does not allow the call. */
  PERMISSION_DENIED: { grpc: "PERMISSION_DENIED", exit: 77 },
  /** The caller, or all callers together, reached a limit of the agent. */
  RESOURCE_EXHAUSTED: { grpc: "RESOURCE_EXHAUSTED", exit: 75 },
  /** Another operation is running on the node. */
  BUSY: { grpc: "ABORTED", exit: 75 },
  /** Preflight found that a machine is not ready; nothing was changed. */
  PREFLIGHT_FAILED: { grpc: "FAILED_PRECONDITION", exit: 69 },
  /** Without the node, no API server would be left to serve traffic, or etcd would lose its quorum. */
  WOULD_INTERRUPT: { grpc: "FAILED_PRECONDITION", exit: 69 },
  /** An etcd member is unhealthy, but the operation requires all members to be healthy. */
  ETCD_UNHEALTHY: { grpc: "FAILED_PRECONDITION", exit: 69 },
  /** etcd on the machine is not the member that the operation expects. */
  ETCD_CONFLICT: { grpc: "FAILED_PRECONDITION", exit: 69 },
  /** etcd's dedicated disk is not mounted. */
  DISK_MISSING: { grpc: "FAILED_PRECONDITION", exit: 69 },
  /** A node differs from its desired state, but the operation requires all nodes to match theirs. */
  NODES_DIFFER: { grpc: "FAILED_PRECONDITION", exit: 69 },
  /** The encryption config lacks a key that is needed to read values in etcd. */
  KEY_MISSING: { grpc: "FAILED_PRECONDITION", exit: 69 },
  /** The requested phase of a restore does not follow the last phase that the machine reached. */
  OUT_OF_ORDER: { grpc: "FAILED_PRECONDITION", exit: 69 },
  /** A program that the operation needs is not installed. */
  PROGRAM_MISSING: { grpc: "FAILED_PRECONDITION", exit: 69 },
  /** The component is not on the machine. */
  COMPONENT_MISSING: { grpc: "FAILED_PRECONDITION", exit: 69 },
  /** khw has no programs for the machine's architecture. */
  UNSUPPORTED_MACHINE: { grpc: "FAILED_PRECONDITION", exit: 69 },
  /** The release change is not possible or not supported, or needs explicit permission. */
  RELEASE_REFUSED: { grpc: "FAILED_PRECONDITION", exit: 69 },
  /** The release that is running on a node is unknown. */
  RELEASE_UNKNOWN: { grpc: "FAILED_PRECONDITION", exit: 69 },
  /** The node is drained, so the load balancer sends it no new connections. */
  DRAINED: { grpc: "FAILED_PRECONDITION", exit: 69 },
  /** Another node failed first, so the work on this node did not start. */
  SKIPPED: { grpc: "FAILED_PRECONDITION", exit: 69 },
  /** The agent has no desired state to compare the machine with. */
  NO_STATE: { grpc: "FAILED_PRECONDITION", exit: 69 },
  /** A check could not run, because something that the check needs is missing. */
  NOT_RUN: { grpc: "FAILED_PRECONDITION", exit: 69 },
  /** The versions of client and agent are too far apart. */
  VERSION_SKEW: { grpc: "FAILED_PRECONDITION", exit: 69 },
  /** The machine is not the one for which the desired state is meant. */
  IDENTITY_MISMATCH: { grpc: "FAILED_PRECONDITION", exit: 65 },
  /** The metadata server does not answer, or it is not Google's metadata server. */
  METADATA_UNAVAILABLE: { grpc: "UNAVAILABLE", exit: 69 },
  /** No mirror delivered the file. */
  DOWNLOAD_FAILED: { grpc: "UNAVAILABLE", exit: 69 },
  /** The content of a file differs from the published release. */
  DIGEST_MISMATCH: { grpc: "DATA_LOSS", exit: 65 },
  /** apt could not install a package. */
  PACKAGE_FAILED: { grpc: "FAILED_PRECONDITION", exit: 69 },
  /** systemd could not start a service, or the service exited unexpectedly. */
  SERVICE_FAILED: { grpc: "FAILED_PRECONDITION", exit: 70 },
  /** A component is running, but did not become ready in time. */
  NOT_READY: { grpc: "DEADLINE_EXCEEDED", exit: 75 },
  /** A step was applied, but its check still finds a difference. */
  POSTCONDITION_FAILED: { grpc: "INTERNAL", exit: 70 },
  /** A file could not be read or written. */
  IO_FAILED: { grpc: "INTERNAL", exit: 74 },
  /** A node's agent cannot be reached. */
  UNREACHABLE: { grpc: "UNAVAILABLE", exit: 69 },
  /** An agent's response is damaged, or contains impossible values. */
  INVALID_RESPONSE: { grpc: "DATA_LOSS", exit: 76 },
  /** The server that answered is not the requested node. */
  WRONG_NODE: { grpc: "UNAVAILABLE", exit: 77 },
  /** The node's agent has no certificate from the management CA yet, and is waiting to be enrolled. */
  NOT_ENROLLED: { grpc: "UNAVAILABLE", exit: 77 },
  /** Some nodes are done and others are not. */
  PARTIAL: { grpc: "ABORTED", exit: 3 },
  /** The Compute Engine API rejected a request, or the requested operation failed. */
  COMPUTE_FAILED: { grpc: "UNAVAILABLE", exit: 69 },
  /** A Compute Engine resource differs in a way that cannot be repaired in place. */
  COMPUTE_DRIFT: { grpc: "FAILED_PRECONDITION", exit: 65 },
  /** An object in the `manifests` folder conflicts with another manager, or the API server refuses the object. */
  MANIFEST_REFUSED: { grpc: "FAILED_PRECONDITION", exit: 69 },
  /** The cluster did not pass the verification. */
  VERIFY_FAILED: { grpc: "FAILED_PRECONDITION", exit: 1 },
  /** The agent exited before the operation ended. */
  INTERRUPTED: { grpc: "ABORTED", exit: 75 },
  /** A deadline passed. */
  TIMEOUT: { grpc: "DEADLINE_EXCEEDED", exit: 75 },
  /** The caller cancelled the call. */
  CANCELLED: { grpc: "CANCELLED", exit: 130 },
  /** A bug in khw. */
  INTERNAL: { grpc: "INTERNAL", exit: 70 },
} as const satisfies Record<string, { grpc: keyof typeof status; exit: number }>;

export type ErrorCode = keyof typeof codes;

function isErrorCode(code: string): code is ErrorCode {
  return Object.hasOwn(codes, code);
}

export interface KhwErrorOptions {
  /** The remedy. */
  readonly hint?: string | undefined;
  readonly node?: string | undefined;
  /** The id of the step that failed. */
  readonly step?: string | undefined;
  readonly cause?: unknown;
}

/**
 * The only error type of khw's programs. Describes the fault, the place where it occurred, and the remedy. Never
 * contains secrets. The text may come from outside sources, so the constructor sanitizes it, but keeps line breaks.
 */
export class KhwError extends Error {
  override readonly name = "KhwError";
  readonly code: ErrorCode;
  readonly hint: string | undefined;
  readonly node: string | undefined;
  readonly step: string | undefined;

  constructor(code: ErrorCode, message: string, options: KhwErrorOptions = {}) {
    super(keepLines(message), options.cause === undefined ? {} : { cause: options.cause });
    const { hint, node, step } = options;
    this.code = code;
    this.hint = hint === undefined ? undefined : keepLines(hint);
    this.node = node === undefined ? undefined : oneLine(node);
    this.step = step === undefined ? undefined : oneLine(step);
  }

  /** Returns a copy of the error with this node and step. A node or step that is already set stays unchanged. */
  at(place: { readonly node?: string; readonly step?: string }): KhwError {
    const located = new KhwError(this.code, this.message, {
      hint: this.hint,
      node: this.node ?? place.node,
      step: this.step ?? place.step,
      cause: this.cause,
    });
    if (this.stack !== undefined) located.stack = this.stack;
    return located;
  }
}

/**
 * Converts any thrown value to a KhwError. Any value that is not a KhwError counts as a bug, unless the machine has run
 * out of a resource.
 */
export function toKhwError(error: unknown): KhwError {
  if (error instanceof KhwError) return error;
  const message = error instanceof Error ? error.message : String(error);
  const hint = exhaustionHint(error);
  if (hint !== undefined) return new KhwError("IO_FAILED", message, { hint, cause: error });
  return new KhwError("INTERNAL", `unexpected: ${message}`, {
    hint: "this is a bug in khw: please report it",
    cause: error,
  });
}

export function exitCode(error: KhwError): number {
  return codes[error.code].exit;
}

/** Returns the name of the error's gRPC status. */
export function grpcStatus(error: KhwError): keyof typeof status {
  return codes[error.code].grpc;
}

/**
 * Formats the error for people: a line such as `controller-1: kube-apiserver: the fault`, followed by a line with the
 * hint.
 */
export function formatError(error: KhwError): string {
  const place = [error.node, error.step].filter((part) => part !== undefined && part !== "");
  const hint = error.hint === undefined ? "" : `\nhint: ${error.hint}`;
  return [...place, error.message].join(": ") + hint;
}

/**
 * Converts the error to its protobuf message, for events and responses that report an error although the call succeeds.
 */
export function toDetail(error: KhwError): ErrorDetail {
  const { code, message, hint = "", node = "", step = "" } = error;
  return { code, message, hint, node, step };
}

/**
 * Converts a peer's error detail to a KhwError. An error with a code that this version does not know becomes INTERNAL,
 * with the same message. All lines of a message except the first are indented. No line can then look like a message
 * from another node.
 */
export function fromDetail(detail: ErrorDetail): KhwError {
  const code = isErrorCode(detail.code) ? detail.code : "INTERNAL";
  return new KhwError(code, paragraph(detail.message), {
    hint: paragraph(detail.hint) || undefined,
    node: detail.node || undefined,
    step: detail.step || undefined,
  });
}
