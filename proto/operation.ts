import { type Operation, OperationKind } from "./gen/khw/agent/v1/agent.ts";

/**
 * Whether the agent keeps no record of the operation after its end, because the operation does not change the desired
 * state: a Prepare or a JoinEtcd.
 */
export function isTransient({ kind }: Pick<Operation, "kind">): boolean {
  return kind === OperationKind.OPERATION_KIND_PREPARE || kind === OperationKind.OPERATION_KIND_JOIN;
}
