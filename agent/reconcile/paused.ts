import { isRolledBack } from "../../proto/rollback.ts";
import { type Operation, OperationKind, OperationState } from "../../proto/gen/khw/agent/v1/agent.ts";
import type { KeptOperation } from "../state/desired-state.ts";
import type { Holder } from "../state/machine-lock.ts";

export interface PausedOptions {
  readonly kept: KeptOperation | undefined;
  readonly holder: Holder | undefined;
  /** The running operation, otherwise the last one. */
  readonly operation: Operation | undefined;
  /** The reason why a record of the desired state cannot be read. */
  readonly damage: string | undefined;
}

/** Returns the reason why the check for drift is paused; empty if it runs. */
export function pausedBecause({ kept, holder, operation, damage }: PausedOptions): string {
  if (holder !== undefined) return `${holder.name} is working on this machine`;
  if (operation?.state === OperationState.OPERATION_STATE_RUNNING)
    return `an operation by ${operation.holder} is running`;
  if (damage !== undefined) return `${damage}, and the desired state is unknown: run \`khw-client bootstrap\``;
  if (kept === undefined) return "there is no desired state: no operation has succeeded here yet";
  // Running the kept operation again does not change the desired state. If any other operation failed, the desired
  // state is unclear, so repair pauses.
  if (operation === undefined || operation.id === kept.operationId || isPrepare(operation)) return "";
  const { state, holder: whose } = operation;
  const since = new Date(operation.startedUnixMillis).toISOString();
  const which = `the operation that ${whose} started at ${since}`;
  // After a successful rollback, the machine runs the kept state again.
  if (isRolledBack(operation)) return "";
  if (state === OperationState.OPERATION_STATE_FAILED) return `${which} failed, and the desired state is unknown`;
  if (state === OperationState.OPERATION_STATE_INTERRUPTED) {
    return `${which} was interrupted, and the desired state is unknown`;
  }
  return "";
}

/** A Prepare does not change the desired state, however it ends. */
function isPrepare({ kind }: Operation): boolean {
  return kind === OperationKind.OPERATION_KIND_PREPARE;
}
