import { isTransient } from "../../proto/operation.ts";
import { isRolledBack } from "../../proto/rollback.ts";
import { type Operation, OperationState } from "../../proto/gen/khw/agent/v1/agent.ts";
import type { KeptOperation } from "../state/desired-state.ts";
import type { Holder } from "../state/machine-lock.ts";

export interface PausedOptions {
  readonly kept: KeptOperation | undefined;
  readonly holder: Holder | undefined;
  /** The running operation; if no operation is running, the last one. */
  readonly operation: Operation | undefined;
  /** Why the record of the desired state or of the last operation cannot be read. */
  readonly damage: string | undefined;
}

/** Returns why the drift check is paused; an empty string if it is not paused. */
export function pausedBecause({ kept, holder, operation, damage }: PausedOptions): string {
  if (holder !== undefined) return `${holder.name} is working on this machine`;
  if (operation?.state === OperationState.OPERATION_STATE_RUNNING)
    return `an operation by ${operation.holder} is running`;
  if (damage !== undefined) return `${damage}, so the desired state is unknown: run \`khw-client bootstrap\``;
  if (kept === undefined) return "there is no desired state: no operation has succeeded here yet";
  // Repeating the operation that set the saved state does not change the desired state. If a different operation
  // failed, it is unclear which state is wanted, so repairs pause.
  if (operation === undefined || operation.id === kept.operationId || isTransient(operation)) return "";
  const { state, holder: whose } = operation;
  const since = new Date(operation.startedUnixMillis).toISOString();
  const which = `the operation that ${whose} started at ${since}`;
  // After a successful rollback, the machine is back in the saved state.
  if (isRolledBack(operation)) return "";
  if (state === OperationState.OPERATION_STATE_FAILED) return `${which} failed, so the desired state is unknown`;
  if (state === OperationState.OPERATION_STATE_INTERRUPTED) {
    return `${which} was interrupted, so the desired state is unknown`;
  }
  return "";
}
