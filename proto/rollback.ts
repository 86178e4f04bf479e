import type { Operation } from "./gen/khw/agent/v1/agent.ts";

/** Whether the operation failed and the agent successfully rolled the machine back. */
export function isRolledBack(operation: Operation | undefined): boolean {
  return operation?.rolledBack !== undefined && operation.rolledBack.error === undefined;
}
