import { createHash } from "node:crypto";
import { fromDetail, KhwError, toKhwError } from "../../proto/errors.ts";
import { DesiredState, type ErrorDetail, type Event, OperationState } from "../../proto/gen/khw/agent/v1/agent.ts";
import type { StepEvent } from "../../proto/step.ts";
import { clockFindings, readClock } from "../cluster/clock-skew.ts";
import type { Member } from "../cluster/open.ts";
import type { NodeOutcome, NodeWork } from "./node-work.ts";
import { whyNotBegun } from "./skipped.ts";
import type { AgentNode } from "../cluster/agent-client.ts";
import type { Progress } from "../progress/progress.ts";
import type { RotationOptions } from "../drain/drain.ts";
import { readStandings } from "../drain/serving-state.ts";
import { whileDrained } from "../drain/while-drained.ts";

export interface RolloutOptions {
  readonly progress: Progress;
  /** Ctrl-C ends the listening, not the nodes' work. */
  readonly signal: AbortSignal;
  /** Time limit for the whole operation of a node. */
  readonly timeoutMillis: number;
  /** The nodes to work on one after the other. */
  readonly spare: ReadonlySet<AgentNode>;
  /** The load balancer that these nodes are drained from; undefined without a load balancer. */
  readonly rotation?: Rotation | undefined;
}

/** The load balancer and its members. */
export interface Rotation extends Pick<RotationOptions, "cloud" | "timeouts"> {
  readonly members: readonly Member[];
}

/** Returns every obstacle on every node at once; changes nothing. `warn` gets the findings that are no obstacle. */
export async function preflight(
  work: readonly NodeWork[],
  signal: AbortSignal,
  warn: (warning: KhwError) => void = () => {},
): Promise<KhwError[]> {
  const answers = await Promise.all(
    work.map(async ({ node, desired }) => {
      const { name } = node.address;
      const located = (detail: ErrorDetail): KhwError => fromDetail(detail).at({ node: name });
      try {
        const { answer, clock } = await readClock(name, () => node.preflight(desired, signal));
        answer.warnings.map(located).forEach(warn);
        return { findings: answer.findings.map(located), clocks: [clock] };
      } catch (thrown) {
        signal.throwIfAborted();
        return { findings: [toKhwError(thrown).at({ node: name })], clocks: [] };
      }
    }),
  );
  return [...answers.flatMap(({ findings }) => findings), ...clockFindings(answers.flatMap(({ clocks }) => clocks))];
}

/**
 * Applies to all nodes at once and waits for each; a node's failure does not stop the others. The nodes to spare
 * follow one after the other, drained, until the first failure: a change that breaks one API server does not reach
 * the next.
 */
export async function rollout(work: readonly NodeWork[], options: RolloutOptions): Promise<NodeOutcome[]> {
  const { progress, signal, spare } = options;
  const apply = async (item: NodeWork): Promise<NodeOutcome> => tell(await applyToNode(item, options));
  const tell = (outcome: NodeOutcome): NodeOutcome => {
    const { node, changed, error } = outcome;
    progress.emit({ kind: "end", track: node.address.name, changed, error });
    return outcome;
  };
  const outcomes = await Promise.all(work.filter(({ node }) => !spare.has(node)).map(apply));
  for (const item of work.filter(({ node }) => spare.has(node))) {
    const error = whyNotBegun(item.node, { outcomes, signal });
    outcomes.push(
      tell(error === undefined ? await applySpared(item, options) : { node: item.node, changed: 0, error }),
    );
  }
  return outcomes;
}

/** A node that cannot be drained is left unchanged. */
async function applySpared(item: NodeWork, options: RolloutOptions): Promise<NodeOutcome> {
  const { rotation, progress, signal } = options;
  const { node } = item;
  if (rotation === undefined || isUnderWay(item, rotation)) return applyToNode(item, options);
  const track = node.address.name;
  const emit = (event: StepEvent): void => progress.emit({ kind: "step", track, event });
  let outcome: NodeOutcome = { node, changed: 0 };
  const work = async (): Promise<void> => {
    outcome = await applyToNode(item, options);
    if (outcome.error !== undefined) throw outcome.error;
  };
  try {
    const standings = await readStandings(rotation, signal);
    await whileDrained(work, { ...rotation, node, standings, signal, emit });
    return outcome;
  } catch (thrown) {
    return { ...outcome, error: toKhwError(thrown).at({ node: track }) };
  }
}

/** Whether the node runs this operation already; the client then only listens. */
function isUnderWay({ node, desired }: NodeWork, { members }: Rotation): boolean {
  const operation = members.find((member) => member.node === node)?.info?.operation;
  return operation?.state === OperationState.OPERATION_STATE_RUNNING && operation.id === operationId(desired);
}

async function applyToNode(
  { node, desired }: NodeWork,
  { progress, signal, timeoutMillis }: RolloutOptions,
): Promise<NodeOutcome> {
  const { name } = node.address;
  const timeout = AbortSignal.timeout(timeoutMillis);
  let last: Seen | undefined;
  try {
    for await (const event of node.apply(desired, operationId(desired), AbortSignal.any([signal, timeout]))) {
      progress.emit({ kind: "node", node: name, event });
      last = describe(event) ?? last;
      if (event.kind?.$case !== "operationFinished") continue;
      const { error, changedSteps: changed } = event.kind.value;
      return error === undefined ? { node, changed } : { node, changed, error: fromDetail(error).at({ node: name }) };
    }
    throw new KhwError("UNREACHABLE", "the agent ended the conversation");
  } catch (thrown) {
    const error = toKhwError(thrown);
    const late = timeout.aborted && !signal.aborted;
    const told = late ? overdue(timeoutMillis, last, error) : error.code === "UNREACHABLE" ? lost(last, error) : error;
    return { node, changed: 0, error: told.at({ node: name }) };
  }
}

/** The last event of a node. */
interface Seen {
  readonly step: string;
  readonly text: string;
}

function describe({ kind }: Event): Seen | undefined {
  switch (kind?.$case) {
    case "stepStarted":
      return { step: kind.value.step, text: kind.value.drift };
    case "stepProgress":
      return { step: kind.value.step, text: kind.value.text };
    case "operationStarted":
    case "stepFinished":
    case "operationFinished":
    case undefined:
      return undefined;
  }
}

function overdue(timeoutMillis: number, last: Seen | undefined, cause: KhwError): KhwError {
  const seen = last === undefined ? "nothing yet" : `${last.step}: ${last.text}`;
  return new KhwError("TIMEOUT", `not done after ${timeoutMillis / 1000} s, last seen: ${seen}`, {
    hint: "the node goes on; run the command again to attach",
    cause,
  });
}

/** Names the last step if the connection was lost in the middle of the work. */
function lost(last: Seen | undefined, cause: KhwError): KhwError {
  if (last === undefined) return cause;
  return new KhwError("INTERRUPTED", `the agent went away at "${last.text}": ${cause.message}`, {
    step: last.step,
    hint: "when the machine and its khw-agent run again, run the command again: it takes up where this one ended",
    cause,
  });
}

/**
 * Returns a UUID derived from the desired state: asking for the same state again attaches to the running operation.
 */
export function operationId(desired: DesiredState): string {
  const hex = createHash("sha256").update(DesiredState.encode(desired).finish()).digest("hex");
  return [hex.slice(0, 8), hex.slice(8, 12), `8${hex.slice(13, 16)}`, `a${hex.slice(17, 20)}`, hex.slice(20, 32)].join(
    "-",
  );
}
