import type { KhwError } from "../../proto/errors.ts";
import { type ErrorDetail, type Operation, OperationState } from "../../proto/gen/khw/agent/v1/agent.ts";
import type { StepResult } from "../../proto/step.ts";

/** The result of an operation. An operation without an error succeeded. */
export interface Ended {
  readonly error?: ErrorDetail;
  readonly rolledBack?: { readonly error: ErrorDetail | undefined };
}

/** Returns the operation with its final state. */
export function ended(operation: Operation, { error, rolledBack }: Ended): Operation {
  return { ...operation, state: finalState(error), error, rolledBack };
}

/** Returns the error of the first step that failed; undefined if none failed. */
export function firstFailure(results: readonly StepResult[]): KhwError | undefined {
  return results.flatMap((result) => (result.outcome === "failed" ? result.error : []))[0];
}

/** Adds a remark to the error's hint. */
export function withHint(error: ErrorDetail, remark: string): ErrorDetail {
  return { ...error, hint: error.hint === "" ? remark : `${error.hint}; ${remark}` };
}

function finalState(error: ErrorDetail | undefined): OperationState {
  if (error === undefined) return OperationState.OPERATION_STATE_SUCCEEDED;
  const interrupted = error.code === "INTERRUPTED";
  return interrupted ? OperationState.OPERATION_STATE_INTERRUPTED : OperationState.OPERATION_STATE_FAILED;
}
