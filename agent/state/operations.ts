import type { DesiredState } from "../../proto/desired.ts";
import { formatError, fromDetail, KhwError, toDetail, toKhwError } from "../../proto/errors.ts";
import type { ErrorDetail, Event, Operation } from "../../proto/gen/khw/agent/v1/agent.ts";
import { OperationState, StepOutcome } from "../../proto/gen/khw/agent/v1/agent.ts";
import { applySteps, type Step, type StepEvent, type StepResult } from "../../proto/step.ts";
import { show } from "../../proto/validate.ts";
import type { Os } from "../os/os.ts";
import type { Store } from "./operation-record.ts";
import type { Writer } from "./machine-lock.ts";

export interface OperationsOptions {
  readonly os: Os;
  readonly store: Store;
  readonly writer: Writer;
  readonly steps: (desired: DesiredState) => Step<Os>[];
  /** Told of each operation that succeeded, before it ends: what it established is what the machine shall stay. */
  readonly established: (operationId: string, desired: DesiredState) => Promise<void>;
  /** Told of each operation at its begin and at its end. */
  readonly changed: (operation: Operation) => void;
  /** The last operation of an earlier agent. */
  readonly last: Operation | undefined;
  /** Told what the agent is doing, in one line. */
  readonly status: (text: string) => void;
  /** Told of each operation's begin and end, in one line: who changed this machine, and whether it worked. */
  readonly log: (line: string) => void;
  /** Ends every operation when the agent itself ends. */
  readonly signal: AbortSignal;
}

/** Hears of each event of an operation: those that were, then those that come; the last is operationFinished. */
export type Listener = (event: Event) => void;

export interface OperationRequest {
  readonly id: string;
  readonly holder: string;
  readonly desired: DesiredState;
}

/** The node's one writer: runs one operation at a time, and lets any number of callers listen to it. */
export interface Operations {
  current(): Operation | undefined;
  /**
   * Begins an operation; it goes on whoever listens. The id of the operation that runs attaches to it.
   * @throws KhwError BUSY when another holds the machine.
   */
  start(request: OperationRequest): void;
  /** Listens to an operation (empty id: the current one) until the returned function is called. @throws KhwError INVALID_ARGUMENT when it is not known. */
  listen(id: string, listener: Listener): () => void;
  /** Resolves when no operation runs. */
  idle(): Promise<void>;
}

type EventKind = NonNullable<Event["kind"]>;

interface Run {
  operation: Operation;
  /** All events so far but progress. */
  readonly events: Event[];
  /** The newest progress of each step that is being applied: a late listener is not told of every megabyte. */
  readonly progress: Map<string, string>;
  readonly listeners: Set<Listener>;
}

export function createOperations(options: OperationsOptions): Operations {
  const { os, store, writer, steps, established, changed, last, status, log, signal } = options;
  let run: Run | undefined;
  let previous = last;
  let done = Promise.resolve();

  const stamp = (of: Run, kind: EventKind): Event => ({
    operationId: of.operation.id,
    sequence: of.events.length + (kind.$case === "stepProgress" ? 0 : 1),
    timeUnixMillis: os.clock.now(),
    kind,
  });

  const publish = (to: Run, kind: EventKind): void => {
    const { events, progress, listeners } = to;
    const event = stamp(to, kind);
    if (kind.$case === "stepProgress") {
      const { step, text } = kind.value;
      if (progress.get(step) === text) return;
      progress.set(step, text);
    } else {
      if (kind.$case === "stepFinished") progress.delete(kind.value.step);
      events.push(event);
    }
    for (const listener of listeners) listener(event);
  };

  const converge = async (of: Run, desired: DesiredState): Promise<StepResult[]> => {
    const list = steps(desired);
    const titles = list.map(({ id, title }) => ({ id, title }));
    const interrupted = previous?.state === OperationState.OPERATION_STATE_INTERRUPTED ? previous : undefined;
    publish(of, { $case: "operationStarted", value: { holder: of.operation.holder, steps: titles, interrupted } });
    await store.save(of.operation);
    const emit = (event: StepEvent): void => {
      if (event.kind === "started") status(`applying ${event.step}`);
      publish(of, toWire(event));
    };
    return applySteps(list, os, { signal, emit });
  };

  /** Never rejects: whatever goes wrong is the operation's error. */
  const execute = async (of: Run, desired: DesiredState): Promise<void> => {
    let error: ErrorDetail | undefined;
    let changedSteps = 0;
    try {
      const results = await converge(of, desired);
      const failed = results.find((result) => result.outcome === "failed");
      error = failed === undefined ? undefined : toDetail(failed.error);
      changedSteps = results.filter(({ outcome }) => outcome === "changed").length;
      if (failed === undefined) await established(of.operation.id, desired);
      await store.save(ended(of.operation, error));
    } catch (thrown) {
      error ??= toDetail(toKhwError(thrown));
    }
    // Only now may another begin: its record and this one's must not be written at once.
    of.operation = ended(of.operation, error);
    previous = of.operation;
    changed(of.operation);
    status("serving");
    const outcome = error === undefined ? `done, ${changedSteps} steps applied` : formatError(fromDetail(error));
    log(`operation ${of.operation.id}: ${outcome}`);
    publish(of, { $case: "operationFinished", value: { error, changedSteps } });
  };

  return {
    current: () => run?.operation ?? previous,
    start: ({ id, holder, desired }) => {
      if (run?.operation.state === OperationState.OPERATION_STATE_RUNNING && run.operation.id === id) return;
      const operation: Operation = {
        id,
        holder,
        startedUnixMillis: os.clock.now(),
        state: OperationState.OPERATION_STATE_RUNNING,
        error: undefined,
      };
      const begun: Run = { operation, events: [], progress: new Map(), listeners: new Set() };
      done = writer.hold(holder, () => execute(begun, desired));
      run = begun;
      log(`operation ${id}: begun by ${holder}`);
      changed(operation);
    },
    listen: (id, listener) => {
      if (run === undefined || (id !== "" && run.operation.id !== id)) {
        throw new KhwError("INVALID_ARGUMENT", `this agent knows no operation ${id === "" ? "yet" : show(id)}`, {
          hint: "it was begun by an earlier agent, or never; run the command again to converge",
        });
      }
      const { events, progress, listeners } = run;
      for (const event of events) listener(event);
      for (const [step, text] of progress) {
        listener(stamp(run, { $case: "stepProgress", value: { step, text } }));
      }
      listeners.add(listener);
      return () => listeners.delete(listener);
    },
    idle: () => done,
  };
}

function ended(operation: Operation, error: ErrorDetail | undefined): Operation {
  return { ...operation, state: finalState(error), error };
}

function finalState(error: ErrorDetail | undefined): OperationState {
  if (error === undefined) return OperationState.OPERATION_STATE_SUCCEEDED;
  const interrupted = error.code === "INTERRUPTED";
  return interrupted ? OperationState.OPERATION_STATE_INTERRUPTED : OperationState.OPERATION_STATE_FAILED;
}

function toWire(event: StepEvent): EventKind {
  switch (event.kind) {
    case "started":
      return { $case: "stepStarted", value: { step: event.step, drift: event.drift.summary } };
    case "progress":
      return { $case: "stepProgress", value: { step: event.step, text: event.text } };
    case "finished":
      return { $case: "stepFinished", value: { step: event.step, ...resultToWire(event.result) } };
  }
}

function resultToWire(result: StepResult) {
  const { millis: durationMillis } = result;
  const none = { durationMillis, drift: "", error: undefined };
  switch (result.outcome) {
    case "unchanged":
      return { ...none, outcome: StepOutcome.STEP_OUTCOME_UNCHANGED };
    case "reported": {
      const { summary: drift, remedy } = result.drift;
      return { ...none, outcome: StepOutcome.STEP_OUTCOME_UNCHANGED, drift, remedy };
    }
    case "changed":
      return { ...none, outcome: StepOutcome.STEP_OUTCOME_CHANGED, drift: result.drift.summary };
    case "failed":
      return {
        ...none,
        outcome: StepOutcome.STEP_OUTCOME_FAILED,
        drift: result.drift?.summary ?? "",
        error: toDetail(result.error),
      };
    case "skipped":
      return { ...none, outcome: StepOutcome.STEP_OUTCOME_SKIPPED };
  }
}
