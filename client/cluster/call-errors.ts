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
 * Returns the agent's own error, or explains the failure of the call or connection. The error always names this
 * node.
 */
export function nodeError({ name, host, port }: NodeAddress, error: ServiceError): KhwError {
  const said = fromServiceError(error);
  if (said !== undefined) {
    return new KhwError(said.code, said.message, { hint: said.hint, step: said.step, node: name });
  }
  const { code, message, hint } = explain({ code: error.code, details: oneLine(error.details) }, `${host}:${port}`);
  return new KhwError(code, message, { node: name, hint, cause: error });
}

interface Explanation {
  readonly code: ErrorCode;
  readonly message: string;
  readonly hint: string;
}

function explain({ code, details }: Pick<ServiceError, "code" | "details">, where: string): Explanation {
  const ofCode: Partial<Record<status, Explanation>> = {
    [status.CANCELLED]: {
      code: "CANCELLED",
      message: "detached; the node goes on by itself",
      hint: "run the command again to attach",
    },
    [status.DEADLINE_EXCEEDED]: {
      code: "UNREACHABLE",
      message: `the agent at ${where} does not answer in time`,
      hint: "is the machine up, and its port open to here?",
    },
    [status.RESOURCE_EXHAUSTED]: {
      code: "INVALID_ARGUMENT",
      message: `the agent does not take so much at once: ${details}`,
      hint: "is one of the credentials, or kubernetes.caFile, far larger than it need be?",
    },
    [status.UNIMPLEMENTED]: {
      code: "INTERNAL",
      message: `the agent does not know this call: ${details}`,
      hint: "install the agent's newest package on the node",
    },
  };
  const refused = refusedResponse(details);
  if (refused !== undefined) {
    return {
      code: "INVALID_RESPONSE",
      message: `the answer of the agent at ${where} cannot be right: ${refused}`,
      hint: "see that the node's clock is right and its khw-agent is of this client's release: khw-client doctor",
    };
  }
  // grpc-js has the same code for a call that its caller gave up and for one that its server cut off.
  if (code === status.CANCELLED && details === "Call cancelled") {
    return {
      code: "UNREACHABLE",
      message: `the agent at ${where} ended the call`,
      hint: "run the command again: the agent goes on, or has just started again",
    };
  }
  return ofCode[code] ?? explainConnection(plain(details), where);
}

/**
 * Returns grpc-js's text about a failed connection without the parts that only programmers of grpc-js or Node
 * understand.
 */
function plain(details: string): string {
  const text = details
    .replace(/^No connection established\. Last error: /, "")
    .replace(/^Error(?: \[\w+\])?: /, "")
    .replace(/\.? ?Resolution note: *$/, "")
    .replace(/; if the root CA is installed locally, try running Node\.js with .*$/, "");
  // grpc-js writes "undefined" for an error without a message.
  return /^(undefined|null)?$/.test(text.trim()) ? "no reason was given" : text;
}

function explainConnection(details: string, where: string): Explanation {
  if (/altnames|Hostname\/IP does not match/.test(details)) {
    return {
      code: "WRONG_NODE",
      message: `what answers at ${where} has a certificate for another node: ${details}`,
      hint: "correct the node's address, or issue a certificate for its name",
    };
  }
  // "self-signed certificate in certificate chain" does not match: it means another CA.
  if (/self.signed certificate(?! in)/i.test(details)) {
    return {
      code: "NOT_ENROLLED",
      message: `what answers at ${where} has no certificate of the management CA`,
      hint: "where its agent waits to be enrolled: khw-client enrol",
    };
  }
  if (/revoked/.test(details)) {
    return {
      code: "WRONG_NODE",
      message: `what answers at ${where} is not trusted: ${details}`,
      hint: "if it is to be trusted again: khw-client enrol --readmit, and for a new certificate khw-client install",
    };
  }
  if (/certificate|issuer/i.test(details)) {
    return {
      code: "WRONG_NODE",
      message: `what answers at ${where} is not trusted: ${details}`,
      hint: "its certificate must be of the management CA (`management.ca` in khw.yaml)",
    };
  }
  return {
    code: "UNREACHABLE",
    message: `no connection to the agent at ${where}: ${details}`,
    hint: "is khw-agent running there, and its port open to here?",
  };
}
