import { Metadata, status } from "@grpc/grpc-js";
import type { ServiceError } from "@grpc/grpc-js";
import t from "tap";
import {
  type ErrorCode,
  exitCode,
  formatError,
  fromDetail,
  KhwError,
  toDetail,
  toKhwError,
} from "../../../proto/errors.ts";
import { fromServiceError, toServiceError } from "../../../proto/errors-wire.ts";

/**
 * The contract with scripts (exit codes) and with other clients (gRPC status). It is repeated here so that every change
 * to the contract makes this test fail.
 */
const contract: Readonly<Record<ErrorCode, readonly [exit: number, grpc: keyof typeof status]>> = {
  INVALID_ARGUMENT: [64, "INVALID_ARGUMENT"],
  CONFIG_INVALID: [78, "INVALID_ARGUMENT"],
  CREDENTIAL_INVALID: [65, "INVALID_ARGUMENT"],
  UNAUTHENTICATED: [77, "UNAUTHENTICATED"],
  RESOURCE_EXHAUSTED: [75, "RESOURCE_EXHAUSTED"],
  PERMISSION_DENIED: [77, "PERMISSION_DENIED"],
  BUSY: [75, "ABORTED"],
  PREFLIGHT_FAILED: [69, "FAILED_PRECONDITION"],
  WOULD_INTERRUPT: [69, "FAILED_PRECONDITION"],
  ETCD_UNHEALTHY: [69, "FAILED_PRECONDITION"],
  ETCD_CONFLICT: [69, "FAILED_PRECONDITION"],
  DISK_MISSING: [69, "FAILED_PRECONDITION"],
  VERSION_SKEW: [69, "FAILED_PRECONDITION"],
  NODES_DIFFER: [69, "FAILED_PRECONDITION"],
  KEY_MISSING: [69, "FAILED_PRECONDITION"],
  OUT_OF_ORDER: [69, "FAILED_PRECONDITION"],
  PROGRAM_MISSING: [69, "FAILED_PRECONDITION"],
  COMPONENT_MISSING: [69, "FAILED_PRECONDITION"],
  UNSUPPORTED_MACHINE: [69, "FAILED_PRECONDITION"],
  RELEASE_REFUSED: [69, "FAILED_PRECONDITION"],
  RELEASE_UNKNOWN: [69, "FAILED_PRECONDITION"],
  DRAINED: [69, "FAILED_PRECONDITION"],
  SKIPPED: [69, "FAILED_PRECONDITION"],
  NO_STATE: [69, "FAILED_PRECONDITION"],
  NOT_RUN: [69, "FAILED_PRECONDITION"],
  IDENTITY_MISMATCH: [65, "FAILED_PRECONDITION"],
  METADATA_UNAVAILABLE: [69, "UNAVAILABLE"],
  DOWNLOAD_FAILED: [69, "UNAVAILABLE"],
  DIGEST_MISMATCH: [65, "DATA_LOSS"],
  PACKAGE_FAILED: [69, "FAILED_PRECONDITION"],
  SERVICE_FAILED: [70, "FAILED_PRECONDITION"],
  NOT_READY: [75, "DEADLINE_EXCEEDED"],
  POSTCONDITION_FAILED: [70, "INTERNAL"],
  IO_FAILED: [74, "INTERNAL"],
  UNREACHABLE: [69, "UNAVAILABLE"],
  INVALID_RESPONSE: [76, "DATA_LOSS"],
  WRONG_NODE: [77, "UNAVAILABLE"],
  NOT_ENROLLED: [77, "UNAVAILABLE"],
  PARTIAL: [3, "ABORTED"],
  COMPUTE_FAILED: [69, "UNAVAILABLE"],
  COMPUTE_DRIFT: [65, "FAILED_PRECONDITION"],
  MANIFEST_REFUSED: [69, "FAILED_PRECONDITION"],
  VERIFY_FAILED: [1, "FAILED_PRECONDITION"],
  INTERRUPTED: [75, "ABORTED"],
  TIMEOUT: [75, "DEADLINE_EXCEEDED"],
  CANCELLED: [130, "CANCELLED"],
  INTERNAL: [70, "INTERNAL"],
};

const error = new KhwError("DIGEST_MISMATCH", "the bytes differ", {
  hint: "try another mirror",
  node: "controller-1",
  step: "binary/kubectl",
});

/** Returns a failed call in the form in which grpc-js passes it to a client. */
function received(failure: KhwError): ServiceError {
  const { code, details = "", metadata = new Metadata() } = toServiceError(failure);
  return Object.assign(new Error(details), { code, details, metadata });
}

t.test("every error code maps to its exit code and its gRPC status, and no error maps to success", async (t) => {
  for (const [code, [exit, grpc]] of Object.entries(contract)) {
    const failure = fromDetail({ code, message: "m", hint: "", node: "", step: "" });
    t.equal(failure.code, code);
    t.equal(exitCode(failure), exit, `${code} exits with ${exit}`);
    t.equal(toServiceError(failure).code, status[grpc], `${code} is sent as gRPC status ${grpc}`);
    t.notOk([0, 2].includes(exit), "no error has the exit code 0 or 2");
  }
});

t.test("an error keeps all of its fields when it is sent over gRPC", async (t) => {
  const there = fromServiceError(received(error));
  t.ok(there instanceof KhwError);
  t.strictSame(there && toDetail(there), toDetail(error));
  t.equal(received(error).details, "the bytes differ", "a client that ignores trailers still reads the message");
});

t.test("an absent hint, node or step stays absent", async (t) => {
  const there = fromDetail(toDetail(new KhwError("BUSY", "another operation runs")));
  t.strictSame([there.hint, there.node, there.step], [undefined, undefined, undefined]);
});

t.test("an unknown code from a newer peer becomes INTERNAL, and the message is kept", async (t) => {
  for (const code of ["SOMETHING_NEW", "", "toString", "__proto__"]) {
    t.match(fromDetail({ code, message: "what happened", hint: "", node: "", step: "" }), {
      code: "INTERNAL",
      message: "what happened",
    });
  }
});

t.test("no KhwError is read from a failed call without a trailer", async (t) => {
  const bare = Object.assign(new Error("no connection"), {
    code: status.UNAVAILABLE,
    details: "",
    metadata: new Metadata(),
  });
  t.equal(fromServiceError(bare), undefined);
});

t.test("an error is printed with its location, the problem and the remedy", async (t) => {
  t.equal(formatError(error), "controller-1: binary/kubectl: the bytes differ\nhint: try another mirror");
  t.equal(formatError(new KhwError("BUSY", "another operation runs")), "another operation runs");
});

t.test("a missing location is added, and everything else is kept", async (t) => {
  const cause = new Error("ENOSPC");
  const bare = new KhwError("IO_FAILED", "cannot write", { hint: "make room", cause });
  const located = bare.at({ node: "controller-0", step: "unit/kubectl" }).at({ node: "other", step: "other" });
  t.match(located, {
    code: "IO_FAILED",
    message: "cannot write",
    hint: "make room",
    node: "controller-0",
    step: "unit/kubectl",
  });
  t.equal(located.cause, cause);
  t.equal(located.stack, bare.stack, "the stack shows where the error was thrown");
});

t.test("an exception that is not a KhwError is reported as a bug and kept as the cause", async (t) => {
  t.equal(toKhwError(error), error);
  for (const [thrown, message] of [
    [new TypeError("x is undefined"), "unexpected: x is undefined"],
    ["a string", "unexpected: a string"],
  ] as const) {
    const bug = toKhwError(thrown);
    t.match(bug, { code: "INTERNAL", message, hint: /bug in khw/ });
    t.equal(bug.cause, thrown);
  }
});

t.test("an error caused by exhausted system resources is not reported as a bug", async (t) => {
  const cause = Object.assign(new Error("EMFILE: too many open files, open '/proc/net/tcp'"), { code: "EMFILE" });
  const error = toKhwError(cause);
  t.match(error, { code: "IO_FAILED", message: cause.message, hint: /too many open files: .*raise the limit/ });
  t.equal(error.cause, cause);
});
