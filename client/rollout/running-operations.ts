import { KhwError } from "../../proto/errors.ts";
import { type Operation, OperationState } from "../../proto/gen/khw/agent/v1/agent.ts";
import type { AgentNode } from "../cluster/agent-client.ts";
import type { Member } from "../cluster/open.ts";
import { operationId } from "./apply-to-node.ts";
import type { NodeWork } from "../cluster/node-work.ts";

/** Describes the running and interrupted operations that matter to the new operation, one sentence each. */
export function describeRunningOperations(members: readonly Member[]): string[] {
  return members.flatMap(({ node, info }) => {
    const operation = info?.operation;
    const since = `started by ${operation?.holder ?? "?"} at ${startOf(operation)}`;
    if (operation?.state === OperationState.OPERATION_STATE_INTERRUPTED)
      return `${node.address.name}: the operation ${since} was interrupted; this command continues it`;
    if (operation?.state === OperationState.OPERATION_STATE_RUNNING)
      return `${node.address.name}: an operation ${since} is running`;
    return [];
  });
}

/** Whether the node is already running this Apply. If so, the client only follows its progress. */
export function isUnderWay({ node, desired }: NodeWork, members: readonly Member[]): boolean {
  return runningOperation(node, members)?.id === operationId(desired);
}

/**
 * Returns the nodes that are running another operation, because their agents would reject the new operation. This check
 * runs first, so that no other node is changed if a node is busy.
 */
export function runningOperationFindings(members: readonly Member[], work: readonly NodeWork[]): KhwError[] {
  return work.flatMap(({ node, desired }) => {
    const operation = runningOperation(node, members);
    const own = (["apply", "prepare", "join"] as const).map((kind) => operationId(desired, kind));
    if (operation === undefined || own.includes(operation.id)) return [];
    return new KhwError(
      "BUSY",
      `the node is busy: ${operation.holder} has held the machine lock since ${startOf(operation)}`,
      {
        node: node.address.name,
        hint: "wait for that operation to end, then run the command again",
      },
    );
  });
}

function runningOperation(node: AgentNode, members: readonly Member[]): Operation | undefined {
  const operation = members.find((member) => member.node === node)?.info?.operation;
  return operation?.state === OperationState.OPERATION_STATE_RUNNING ? operation : undefined;
}

function startOf(operation: Operation | undefined): string {
  return new Date(operation?.startedUnixMillis ?? 0).toISOString();
}
