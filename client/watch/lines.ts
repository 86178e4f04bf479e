import { oneLine } from "../../proto/sanitize.ts";
import type { KhwError } from "../../proto/errors.ts";
import {
  type Component,
  type GetStatusResponse,
  type Operation,
  OperationKind,
  OperationState,
} from "../../proto/gen/khw/agent/v1/agent.ts";
import { nodeProblems, type Problem } from "../status/problems.ts";
import type { LoadBalancerState, NodeState } from "../status/state.ts";
import { operationText } from "../status/words.ts";
import type { Display, Heard } from "./events.ts";

/**
 * Prints a line for each change, starting with the time. Used for logs and pipes. Values that change all the time
 * (load, memory) are left out.
 */
export function lineDisplay(write: (text: string) => void, now: () => Date = () => new Date()): Display {
  return {
    hear: (heard) => {
      for (const line of describeHeard(heard)) write(`${now().toISOString()} ${oneLine(line)}\n`);
    },
    close: () => {},
  };
}

/** Returns the lines for an event; an empty list if nothing important changed. */
export function describeHeard(heard: Heard): string[] {
  if (heard.kind === "loadBalancer") return describeLoadBalancer(heard.before, heard.after);
  const { event, before, after } = heard;
  switch (event.kind) {
    case "status":
      if (before.status !== undefined) return describeBack(before, after);
      return [...describeFirst(after), ...describeProblems({ node: after.node }, after)];
    case "change":
      return describeNode(before, after);
    case "away":
      return before.error?.message === event.error.message ? [] : [describeAway(before, event.error)];
  }
}

function describeAway({ node, error }: NodeState, { message, hint }: KhwError): string {
  const what = error === undefined ? "does not answer" : "still does not answer";
  return `${node}: ${what}: ${message}${hint === undefined ? "" : ` (${hint})`}`;
}

function describeFirst({ node, status }: NodeState): string[] {
  const components = status?.components ?? [];
  const bad = new Set(nodeProblems({ node, status }).map(({ subject }) => subject));
  const well = components.filter(({ name }) => !bad.has(name)).length;
  return [`${node}: ${well} of ${components.length} components are healthy`];
}

function describeBack(before: NodeState, after: NodeState): string[] {
  const back = before.error === undefined ? [] : [`${after.node}: answers again`];
  return [...back, ...describeNode({ ...before, error: undefined }, after)];
}

function describeNode(before: NodeState, after: NodeState): string[] {
  return [
    ...describeOperation(after.node, before.status, after.status),
    ...describeComponents(after.node, before.status, after.status),
    ...describeProblems(before, after),
  ];
}

function describeOperation(node: string, before?: GetStatusResponse, after?: GetStatusResponse): string[] {
  const [was, is] = [before?.operation, after?.operation];
  if (is === undefined || (was?.id === is.id && was.state === is.state)) return [];
  // After a download, the agent reports the last Apply again. This report is not a new event.
  if (isDownload(was) && !isDownload(is) && is.state !== OperationState.OPERATION_STATE_RUNNING)
    return [`${node}: download of ${was?.holder ?? "?"}: ended`];
  return [`${node}: operation of ${is.holder}: ${operationText(is)}`];
}

function isDownload(operation: Operation | undefined): boolean {
  return operation?.kind === OperationKind.OPERATION_KIND_PREPARE;
}

function describeComponents(node: string, before?: GetStatusResponse, after?: GetStatusResponse): string[] {
  return (after?.components ?? []).flatMap((is) => {
    const was = before?.components.find(({ name }) => name === is.name);
    if (was === undefined) return [];
    return describeComponent(was, is).map((what) => `${node}: ${is.name}: ${what}`);
  });
}

function describeComponent(was: Component, is: Component): string[] {
  return [
    ...(is.version !== was.version ? [`version ${is.version || "none"}, was ${was.version || "none"}`] : []),
    ...(is.pid !== was.pid && is.pid !== 0 ? [`restarted as process ${is.pid}`] : []),
    ...(is.pid !== was.pid && is.pid === 0 ? ["stopped"] : []),
  ];
}

/** Returns lines for the problems that appeared or disappeared. */
function describeProblems(before: NodeState, after: NodeState): string[] {
  const [had, has] = [nodeProblems(before), nodeProblems(after)];
  const isIn = (list: readonly Problem[], problem: Problem): boolean =>
    list.some(({ subject, message }) => subject === problem.subject && message === problem.message);
  const came = has.filter((problem) => !isIn(had, problem));
  const gone = new Set(
    had.filter(({ subject }) => has.every((problem) => problem.subject !== subject)).map(({ subject }) => subject),
  );
  return [
    ...came.map(
      ({ subject, message, hint }) => `${after.node}: ${subject}: ${message}${hint === "" ? "" : ` (${hint})`}`,
    ),
    ...[...gone].map((subject) => `${after.node}: ${subject}: is OK again`),
  ];
}

function describeLoadBalancer(before: LoadBalancerState | undefined, after: LoadBalancerState): string[] {
  if (after.error !== undefined) {
    return before?.error?.message === after.error.message ? [] : [`load balancer: ${after.error.message}`];
  }
  return after.backends
    .filter(({ name, state }) => before?.backends.find((known) => known.name === name)?.state !== state)
    .map(({ name, state }) => `load balancer: ${name} is ${state}`);
}
