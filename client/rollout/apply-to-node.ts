import { createHash } from "node:crypto";
import { fromDetail, KhwError, toKhwError } from "../../proto/errors.ts";
import { DesiredState, type Event } from "../../proto/gen/khw/agent/v1/agent.ts";
import type { AgentNode } from "../cluster/agent-client.ts";
import { withoutContent } from "../config/desired.ts";
import type { ProgressOptions } from "../progress/progress.ts";
import type { NodeWork } from "../cluster/node-work.ts";
import type { NodeOutcome } from "./one-by-one.ts";

export interface ApplyToNodeOptions extends ProgressOptions {
  /** The time limit for the whole operation on the node. */
  readonly timeoutMillis: number;
  /** Whether to leave a failed node as it is, for inspection. Default: false. */
  readonly noRollback?: boolean;
}

/**
 * Applies the desired state to a node and waits until the operation ends. Aborting the signal ends the wait, but not
 * the node's work.
 */
export function applyToNode({ node, desired }: NodeWork, options: ApplyToNodeOptions): Promise<NodeOutcome> {
  const request = { desired, operationId: operationId(desired), noRollback: options.noRollback };
  return follow(node, (signal) => node.apply(request, signal), options);
}

/** Prepares a node for the desired state by downloading its programs. Waits like applyToNode. */
export function prepareNode({ node, desired }: NodeWork, options: ApplyToNodeOptions): Promise<NodeOutcome> {
  const id = operationId(desired, "prepare");
  const request = { desired: withoutContent(desired), operationId: id };
  return follow(node, (signal) => node.prepare(request, signal), options);
}

/** Makes a node a member of the etcd cluster. Waits like applyToNode. */
export function joinNode(
  { node, desired }: NodeWork,
  { clusterId, ...options }: ApplyToNodeOptions & { readonly clusterId: string },
): Promise<NodeOutcome> {
  const request = { desired, operationId: operationId(desired, "join"), clusterId };
  return follow(node, (signal) => node.etcd.join(request, signal), options);
}

/** Follows an operation on the node until the operation ends. The promise never rejects. */
async function follow(
  node: AgentNode,
  begin: (signal: AbortSignal) => AsyncIterable<Event>,
  { progress, signal, timeoutMillis }: ApplyToNodeOptions,
): Promise<NodeOutcome> {
  const { name } = node.address;
  const timeout = AbortSignal.timeout(timeoutMillis);
  let last: LastStep | undefined;
  try {
    for await (const event of begin(AbortSignal.any([signal, timeout]))) {
      progress.emit({ kind: "node", node: name, event });
      last = lastStep(event) ?? last;
      if (event.kind?.$case !== "operationFinished") continue;
      const { error, changedSteps: changed } = event.kind.value;
      return error === undefined ? { node, changed } : { node, changed, error: fromDetail(error).at({ node: name }) };
    }
    throw new KhwError("UNREACHABLE", "the agent closed the connection");
  } catch (thrown) {
    const error = toKhwError(thrown);
    const late = timeout.aborted && !signal.aborted;
    const explained = late
      ? overdue(timeoutMillis, last, error)
      : error.code === "UNREACHABLE"
        ? lost(last, error)
        : error;
    return { node, changed: 0, error: explained.at({ node: name }) };
  }
}

/** The latest step that a node reported. */
interface LastStep {
  readonly step: string;
  readonly text: string;
}

function lastStep({ kind }: Event): LastStep | undefined {
  switch (kind?.$case) {
    case "stepStarted":
      return { step: kind.value.step, text: kind.value.drift };
    case "stepProgress":
      return { step: kind.value.step, text: kind.value.text };
    case "rollbackStarted":
      return { step: "rollback", text: "the node is rolling back to its previous state" };
    case "operationStarted":
    case "stepFinished":
    case "operationFinished":
    case undefined:
      return undefined;
  }
}

function overdue(timeoutMillis: number, last: LastStep | undefined, cause: KhwError): KhwError {
  const seen = last === undefined ? "no step yet" : `${last.step}: ${last.text}`;
  return new KhwError("TIMEOUT", `not done after ${timeoutMillis / 1000} s, last progress: ${seen}`, {
    hint: "the node continues; run the command again to reattach",
    cause,
  });
}

/** Returns the error for a lost connection. If the work has started, the error includes the latest step. */
function lost(last: LastStep | undefined, cause: KhwError): KhwError {
  if (last === undefined) return cause;
  return new KhwError("INTERRUPTED", `the connection to the agent was lost at "${last.text}": ${cause.message}`, {
    step: last.step,
    hint: "when the machine and its khw-agent are up again, run the command again; it continues from here",
    cause,
  });
}

/**
 * Returns a UUID derived from the desired state, so that a request for the same state attaches to the running
 * operation.
 */
export function operationId(desired: DesiredState, kind: "apply" | "prepare" | "join" = "apply"): string {
  const hash = createHash("sha256").update(DesiredState.encode(desired).finish());
  const hex = (kind === "apply" ? hash : hash.update(kind)).digest("hex");
  return [hex.slice(0, 8), hex.slice(8, 12), `8${hex.slice(13, 16)}`, `a${hex.slice(17, 20)}`, hex.slice(20, 32)].join(
    "-",
  );
}
