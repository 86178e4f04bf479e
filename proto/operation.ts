import { type Operation, OperationKind } from "./gen/khw/agent/v1/agent.ts";

/**
 * Whether the agent discards the record of the operation when the operation ends. This applies to operations that do
 * not change the desired state (Prepare and JoinEtcd).
 */
export function isTransient({ kind }: Pick<Operation, "kind">): boolean {
  return kind === OperationKind.OPERATION_KIND_PREPARE || kind === OperationKind.OPERATION_KIND_JOIN;
}
