import { oneLine } from "../../proto/sanitize.ts";
import { type ServiceError, status } from "@grpc/grpc-js";
import { type ErrorCode, KhwError } from "../../proto/errors.ts";
import { fromServiceError } from "../../proto/errors-wire.ts";
import type { NodeAddress } from "./channel.ts";
import { refusedResponse } from "./responses.ts";

export function isServiceError(error: unknown): error is ServiceError {
  return error instanceof Error && "code" in error && "details" in error && "metadata" in error;
}

/**
 * Returns the agent's own error, or an error that explains why the call or the connection failed. The error always
 * names this node.
 */
export function nodeError({ name, host, port }: NodeAddress, error: ServiceError): KhwError {
  const said = fromServiceError(error);
  if (said !== undefined) {
    return new KhwError(said.code, said.message, { hint: said.hint, step: said.step, node: name });
  }
  const { code, message, hint } = explainStatus(
    { code: error.code, details: oneLine(error.details) },
    `${host}:${port}`,
  );
  return new KhwError(code, message, { node: name, hint, cause: error });
}

/** Whether the agent does not know the call, because the agent is older than this client. */
export function isUnknownCall({ cause }: KhwError): boolean {
  return isServiceError(cause) && cause.code === status.UNIMPLEMENTED;
}

interface Explanation {
  readonly code: ErrorCode;
  readonly message: string;
  readonly hint: string;
}

function explainStatus({ code, details }: Pick<ServiceError, "code" | "details">, where: string): Explanation {
  const ofCode: Partial<Record<status, Explanation>> = {
    [status.CANCELLED]: {
      code: "CANCELLED",
      message: "detached; the node continues on its own",
      hint: "run the command again to reattach",
    },
    [status.DEADLINE_EXCEEDED]: {
      code: "UNREACHABLE",
      message: `the agent at ${where} did not answer in time`,
      hint: "check that the machine is up and that its port can be reached from here",
    },
    [status.RESOURCE_EXHAUSTED]: {
      code: "INVALID_ARGUMENT",
      message: `the agent refuses a message of this size: ${details}`,
      hint: "check the sizes of the credentials and of kubernetes.caFile",
    },
    [status.UNIMPLEMENTED]: {
      code: "INTERNAL",
      message: `the agent does not know this call: ${details}`,
      hint: "install the newest khw-agent package on the node with khw-client install",
    },
  };
  const refused = refusedResponse(details);
  if (refused !== undefined) {
    return {
      code: "INVALID_RESPONSE",
      message: `the agent at ${where} sent an invalid answer: ${refused}`,
      hint: "run khw-client doctor to check the node's clock and the agent's release",
    };
  }
  // grpc-js uses the same code for a call canceled by the caller and for a call ended by the server.
  if (code === status.CANCELLED && details === "Call cancelled") {
    return {
      code: "UNREACHABLE",
      message: `the agent at ${where} ended the call`,
      hint: "run the command again; the agent continues, or has just restarted",
    };
  }
  return ofCode[code] ?? explainConnection(plain(details), where);
}

/**
 * Returns grpc-js's message about a failed connection without the parts that only developers of grpc-js or Node.js
 * understand.
 */
function plain(details: string): string {
  const text = details
    .replace(/^No connection established\. Last error: /, "")
    .replace(/^Error(?: \[\w+\])?: /, "")
    .replace(/\.? ?Resolution note: *$/, "")
    .replace(/; if the root CA is installed locally, try running Node\.js with .*$/, "");
  // grpc-js writes "undefined" for an error without a message.
  return /^(undefined|null)?$/.test(text.trim()) ? "no reason given" : text;
}

function explainConnection(details: string, where: string): Explanation {
  if (/altnames|Hostname\/IP does not match/.test(details)) {
    return {
      code: "WRONG_NODE",
      message: `the server at ${where} has a certificate for another node: ${details}`,
      hint: "correct the node's address, or issue a certificate for its name (khw-client pki issue)",
    };
  }
  // The pattern excludes "self-signed certificate in certificate chain", which means that a different CA signed the
  // certificate.
  if (/self.signed certificate(?! in)/i.test(details)) {
    return {
      code: "NOT_ENROLLED",
      message: `the server at ${where} does not have a certificate from the management CA`,
      hint: "if its agent is waiting to be enrolled, run khw-client enrol",
    };
  }
  if (/revoked/.test(details)) {
    return {
      code: "WRONG_NODE",
      message: `the server at ${where} is not trusted: ${details}`,
      hint: "to trust the node again, run khw-client enrol --readmit; if it is still the same machine, also run khw-client install afterwards",
    };
  }
  if (/certificate|issuer/i.test(details)) {
    return {
      code: "WRONG_NODE",
      message: `the server at ${where} is not trusted: ${details}`,
      hint: "check `management.ca` in khw.yaml; that CA must have issued the node's certificate",
    };
  }
  return {
    code: "UNREACHABLE",
    message: `no connection to the agent at ${where}: ${details}`,
    hint: "check that khw-agent is running on the node and that its port can be reached from here",
  };
}
