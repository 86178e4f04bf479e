import { type Operation, OperationState } from "../../proto/gen/khw/agent/v1/agent.ts";
import type { Kept } from "../state/desired-state.ts";
import type { Holder } from "../state/machine-lock.ts";

export interface Situation {
  readonly kept: Kept | undefined;
  readonly holder: Holder | undefined;
  /** The operation that runs, or else the last one. */
  readonly operation: Operation | undefined;
  /** Why a record that says which state is wanted cannot be read. */
  readonly damage: string | undefined;
}

/** Why drift is not looked for; empty when it is. */
export function pausedBecause({ kept, holder, operation, damage }: Situation): string {
  if (holder !== undefined) return `${holder.name} is at work on this machine`;
  if (operation?.state === OperationState.OPERATION_STATE_RUNNING) return `an operation of ${operation.holder} runs`;
  if (damage !== undefined) return `${damage}, and which state is wanted is not known: run \`khw-client bootstrap\``;
  if (kept === undefined) return "no state is kept: no operation has succeeded here yet";
  // The kept state's own, run again, wants what is kept; another one that did not end well leaves open what is wanted.
  if (operation === undefined || operation.id === kept.operationId) return "";
  const { state, holder: whose } = operation;
  const since = new Date(operation.startedUnixMillis).toISOString();
  const which = `the operation that ${whose} began at ${since}`;
  if (state === OperationState.OPERATION_STATE_FAILED) return `${which} failed, and which state is wanted is not known`;
  if (state === OperationState.OPERATION_STATE_INTERRUPTED) {
    return `${which} was interrupted, and which state is wanted is not known`;
  }
  return "";
}
