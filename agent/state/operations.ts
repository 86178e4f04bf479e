import type { DesiredState } from "../../proto/desired.ts";
import { formatError, fromDetail, KhwError, toDetail, toKhwError } from "../../proto/errors.ts";
import type { ErrorDetail, Event, Operation } from "../../proto/gen/khw/agent/v1/agent.ts";
import { OperationKind, OperationState, StepOutcome } from "../../proto/gen/khw/agent/v1/agent.ts";
import { applySteps, type Step, type StepEvent, type StepResult } from "../../proto/step.ts";
import { show } from "../../proto/validate.ts";
import type { Os } from "../os/os.ts";
import type { OperationRecord } from "./operation-record.ts";
import type { MachineLock } from "./machine-lock.ts";

export interface OperationsOptions {
  readonly os: Os;
  readonly record: OperationRecord;
  readonly machineLock: MachineLock;
  /** All steps of an Apply. */
  readonly steps: (desired: DesiredState) => Step<Os>[];
  /** The steps of a Prepare. */
  readonly downloads: (desired: DesiredState) => Step<Os>[];
  /** Called with each successful Apply before it ends: its desired state is then kept. */
  readonly established: (operationId: string, desired: DesiredState) => Promise<void>;
  /**
   * Called at the start and at the end of each operation, together with the operation to show for the node: the
   * running one, otherwise the last Apply.
   */
  readonly changed: (operation: Operation, shown: Operation) => void;
  /** The last Apply of an earlier agent process. */
  readonly last: Operation | undefined;
  /** Called with a line about the agent's current work. */
  readonly status: (text: string) => void;
  /** Called with a line at the start and end of each operation: who changed this machine, and the result. */
  readonly log: (line: string) => void;
  /** Ends every operation when the agent itself ends. */
  readonly signal: AbortSignal;
}

/** Receives an operation's events: the past ones, then new ones; the last is operationFinished. */
export type OperationListener = (event: Event) => void;

export interface OperationRequest {
  readonly id: string;
  readonly kind: "apply" | "prepare";
  readonly holder: string;
  readonly desired: DesiredState;
}

/** Runs one operation at a time on the node; any number of callers can listen to it. */
export interface Operations {
  /** The running operation, otherwise the last Apply. */
  current(): Operation | undefined;
  /**
   * Starts an operation, which continues without listeners. A request with the kind and id of the running operation
   * attaches to that operation.
   * @throws KhwError BUSY if another operation holds the machine lock
   */
  start(request: OperationRequest): void;
  /**
   * Listens to an operation (empty id: the running one, otherwise the last Apply) until the returned function is
   * called.
   * @throws KhwError INVALID_ARGUMENT if the id is unknown
   */
  listen(id: string, listener: OperationListener): () => void;
  /** Resolves when no operation runs. */
  idle(): Promise<void>;
}

type EventKind = NonNullable<Event["kind"]>;

interface Run {
  operation: Operation;
  /** All events so far except progress. */
  readonly events: Event[];
  /** The newest progress of each running step, so that a late listener does not receive every megabyte. */
  readonly progress: Map<string, string>;
  readonly listeners: Set<OperationListener>;
}

export function createOperations(options: OperationsOptions): Operations {
  const { os, record, machineLock, steps, downloads, established, changed, last, status, log, signal } = options;
  /** The newest operation of each kind, so that a Prepare does not hide the end of an Apply. */
  const runs: { -readonly [kind in OperationRequest["kind"]]?: Run } = {};
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

  const running = (): Run | undefined => Object.values(runs).find(isRunning);

  const converge = async (of: Run, list: readonly Step<Os>[]): Promise<StepResult[]> => {
    const titles = list.map(({ id, title }) => ({ id, title }));
    const interrupted = previous?.state === OperationState.OPERATION_STATE_INTERRUPTED ? previous : undefined;
    publish(of, { $case: "operationStarted", value: { holder: of.operation.holder, steps: titles, interrupted } });
    if (!isPrepare(of)) await record.save(of.operation);
    const emit = (event: StepEvent): void => {
      if (event.kind === "started") status(`applying ${event.step}`);
      publish(of, toWire(event));
    };
    return applySteps(list, os, { signal, emit });
  };

  /** Never rejects: any failure becomes the operation's error. */
  const execute = async (of: Run, desired: DesiredState): Promise<void> => {
    let error: ErrorDetail | undefined;
    let changedSteps = 0;
    try {
      const results = await converge(of, isPrepare(of) ? downloads(desired) : steps(desired));
      const failed = results.find((result) => result.outcome === "failed");
      error = failed === undefined ? undefined : toDetail(failed.error);
      changedSteps = results.filter(({ outcome }) => outcome === "changed").length;
      if (!isPrepare(of)) {
        if (failed === undefined) await established(of.operation.id, desired);
        await record.save(ended(of.operation, error));
      }
    } catch (thrown) {
      error ??= toDetail(toKhwError(thrown));
    }
    // Another operation may start only now, because two records must not be written at once.
    of.operation = ended(of.operation, error);
    if (!isPrepare(of)) previous = of.operation;
    changed(of.operation, previous ?? of.operation);
    status("serving");
    const outcome = error === undefined ? `done, ${changedSteps} steps applied` : formatError(fromDetail(error));
    log(`operation ${of.operation.id}: ${outcome}`);
    publish(of, { $case: "operationFinished", value: { error, changedSteps } });
  };

  return {
    current: () => running()?.operation ?? previous,
    start: ({ id, kind, holder, desired }) => {
      const same = runs[kind];
      if (same !== undefined && isRunning(same) && same.operation.id === id) return;
      const operation: Operation = {
        id,
        holder,
        startedUnixMillis: os.clock.now(),
        state: OperationState.OPERATION_STATE_RUNNING,
        error: undefined,
        kind: kind === "apply" ? OperationKind.OPERATION_KIND_APPLY : OperationKind.OPERATION_KIND_PREPARE,
      };
      const begun: Run = { operation, events: [], progress: new Map(), listeners: new Set() };
      done = machineLock.lock(holder, () => execute(begun, desired));
      runs[kind] = begun;
      log(`operation ${id}: started by ${holder}`);
      changed(operation, operation);
    },
    listen: (id, listener) => {
      const known = Object.values(runs).find(({ operation }) => operation.id === id);
      const run = id === "" ? (running() ?? runs.apply) : known;
      if (run === undefined) {
        throw new KhwError("INVALID_ARGUMENT", `this agent has no operation ${id === "" ? "yet" : show(id)}`, {
          hint: "run the command again; the operation belongs to an earlier agent process, or never existed",
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

function isRunning({ operation }: Run): boolean {
  return operation.state === OperationState.OPERATION_STATE_RUNNING;
}

function isPrepare({ operation }: Run): boolean {
  return operation.kind === OperationKind.OPERATION_KIND_PREPARE;
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
