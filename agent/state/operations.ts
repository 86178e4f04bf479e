import type { DesiredState } from "../../proto/desired.ts";
import { formatError, fromDetail, KhwError, toDetail, toKhwError } from "../../proto/errors.ts";
import type { ErrorDetail, Event, Operation } from "../../proto/gen/khw/agent/v1/agent.ts";
import { OperationKind, OperationState } from "../../proto/gen/khw/agent/v1/agent.ts";
import { isTransient } from "../../proto/operation.ts";
import { applySteps, type Step, type StepEvent, type StepResult } from "../../proto/step.ts";
import { show } from "../../proto/validate.ts";
import type { Os } from "../os/os.ts";
import { type Ended, ended, firstFailure, withHint } from "./operation-end.ts";
import type { OperationRecord } from "./operation-record.ts";
import type { MachineLock } from "./machine-lock.ts";
import type { Failure, Rollback, WayBack } from "./rollback.ts";
import { toWire } from "./step-events.ts";

export interface OperationsOptions {
  readonly os: Os;
  readonly record: OperationRecord;
  readonly machineLock: MachineLock;
  /**
   * Returns all steps of an Apply. They may depend on the machine, so they are created while the operation holds the
   * machine lock.
   */
  readonly steps: (desired: DesiredState) => Promise<Step<Os>[]>;
  /** Returns the steps of a Prepare. */
  readonly downloads: (desired: DesiredState) => Step<Os>[];
  /** Returns the steps of a JoinEtcd. */
  readonly joins: (desired: DesiredState, clusterId: string) => Step<Os>[];
  readonly rollback: Rollback;
  /** Called when a rollback starts, and again if it succeeds. */
  readonly rollingBack: (event: "started" | "succeeded", operation: Operation, reason: ErrorDetail) => void;
  /** Called after the steps of an Apply and of its rollback, unless the agent is stopping. An error is only logged. */
  readonly ending: (signal: AbortSignal) => Promise<void>;
  /** Called for each successful Apply before the operation ends, so that the agent keeps the new desired state. */
  readonly established: (operationId: string, desired: DesiredState) => Promise<void>;
  /**
   * Called at the start and at the end of each operation. `shown` is the operation to show for the node: the running
   * operation, or else the last Apply.
   */
  readonly changed: (operation: Operation, shown: Operation) => void;
  /** The last Apply of an earlier agent process. */
  readonly last: Operation | undefined;
  /** Called with a short description of the agent's current work. */
  readonly status: (text: string) => void;
  /**
   * Called with a log line when an operation starts or ends. The line says who started the operation, or what its
   * result is.
   */
  readonly log: (line: string) => void;
  /** Aborts when the agent is stopping; the operation then ends. */
  readonly signal: AbortSignal;
}

/** Receives an operation's events: all past events, then each new one. The last event is operationFinished. */
export type OperationListener = (event: Event) => void;

export interface OperationRequest {
  readonly id: string;
  readonly kind: "apply" | "prepare" | "join";
  /** The ID of the etcd cluster that a "join" operation joins. */
  readonly clusterId?: string;
  /** Whether to leave the machine as it is after a failure. Default: false. */
  readonly noRollback?: boolean;
  readonly holder: string;
  readonly desired: DesiredState;
}

/** Runs one operation at a time on the node. Any number of callers can listen to the operation. */
export interface Operations {
  /** Returns the running operation, or the last Apply if no operation is running. */
  current(): Operation | undefined;
  /**
   * Starts an operation, which continues even without listeners. Does nothing if an operation of the same kind with the
   * same id is already running.
   * @throws KhwError BUSY if another operation holds the machine lock
   */
  start(request: OperationRequest): void;
  /**
   * Listens to an operation until the returned function is called. An empty id means the running operation, or else the
   * last Apply.
   * @throws KhwError INVALID_ARGUMENT if the id is unknown
   */
  listen(id: string, listener: OperationListener): () => void;
  /** Resolves when no operation is running. */
  idle(): Promise<void>;
}

type EventKind = NonNullable<Event["kind"]>;

interface Run {
  operation: Operation;
  readonly noRollback: boolean;
  /** All events so far, except progress events. */
  readonly events: Event[];
  /** The latest progress of each running step, so that a late listener does not receive all earlier progress events. */
  readonly progress: Map<string, string>;
  readonly listeners: Set<OperationListener>;
}

export function createOperations(options: OperationsOptions): Operations {
  const { os, record, machineLock, steps, downloads, joins, rollback, rollingBack, established, ending } = options;
  const { changed, last, status, log, signal } = options;
  /** The newest operation of each kind, so that a Prepare does not hide the result of an Apply. */
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

  /**
   * Determines how to roll back, and durably records that the operation is running. The operation changes nothing on
   * the machine before that record is written.
   */
  const begin = async (of: Run, list: readonly Step<Os>[], desired: DesiredState): Promise<WayBack | undefined> => {
    const interrupted = previous?.state === OperationState.OPERATION_STATE_INTERRUPTED ? previous : undefined;
    const value = { holder: of.operation.holder, steps: titlesOf(list), interrupted };
    publish(of, { $case: "operationStarted", value });
    if (isTransient(of.operation)) return undefined;
    const wasHealthy = interrupted?.id === of.operation.id && interrupted.previousHealthy === true;
    const way = await rollback.wayBack(desired, { wasHealthy });
    of.operation = { ...of.operation, previousHealthy: way?.healthy };
    await record.save(of.operation);
    return of.noRollback ? undefined : way;
  };

  const apply = (of: Run, list: readonly Step<Os>[]): Promise<StepResult[]> => {
    const emit = (event: StepEvent): void => {
      if (event.kind === "started") status(`applying ${event.step}`);
      publish(of, toWire(event));
    };
    return applySteps(list, os, { signal, emit });
  };

  /**
   * Rolls back to the previous state if that is safe. Returns the Apply's error, with a hint that describes the result
   * of the rollback.
   */
  const goBack = async (of: Run, way: WayBack, failure: Failure & { readonly error: ErrorDetail }): Promise<Ended> => {
    const { error } = failure;
    const decision = await rollback.decide(way, failure);
    if (decision.kind === "unneeded") return { error };
    const refused = (reason: string): Ended => ({
      error: withHint(error, `the node was not rolled back, because ${reason}`),
    });
    if (decision.kind === "refused") return refused(decision.reason);
    const { steps: list } = decision;
    try {
      // Records the reason for the rollback before it starts, in case the rollback is interrupted.
      await record.save({ ...of.operation, error });
    } catch (thrown) {
      return refused(toKhwError(thrown).message);
    }
    log(`operation ${of.operation.id}: rolling back: ${formatError(fromDetail(error))}`);
    rollingBack("started", of.operation, error);
    publish(of, { $case: "rollbackStarted", value: { reason: error, steps: titlesOf(list) } });
    const failed = firstFailure(await apply(of, list));
    if (failed === undefined) {
      rollingBack("succeeded", of.operation, error);
      return { error: withHint(error, "the node is back in its previous state"), rolledBack: { error: undefined } };
    }
    // The next run of the same command brings the node to the desired state.
    if (failed.code === "INTERRUPTED") return { error: toDetail(failed) };
    const why = [failed.step, failed.message].filter((part) => part !== undefined).join(": ");
    const hint = `the rollback to the previous state also failed: ${why}`;
    return { error: withHint(error, hint), rolledBack: { error: toDetail(failed) } };
  };

  /** Never rejects; any failure is stored as the operation's error. */
  const execute = async (of: Run, desired: DesiredState, ofKind: () => Promise<Step<Os>[]>): Promise<void> => {
    let end: Ended = {};
    let changedSteps = 0;
    try {
      const list = await ofKind();
      const way = await begin(of, list, desired);
      const results = await apply(of, list);
      const failed = firstFailure(results);
      changedSteps = results.filter(({ outcome }) => outcome === "changed").length;
      if (failed !== undefined) {
        end = { error: toDetail(failed) };
        const failure = { wanted: desired, steps: list, results, error: toDetail(failed) };
        // If the agent is stopping, the new state did not cause the failure. Running the same command again completes
        // the operation.
        if (way !== undefined && !signal.aborted) end = await goBack(of, way, failure);
      }
      if (!isTransient(of.operation)) {
        if (failed === undefined) await established(of.operation.id, desired);
        await record.save(ended(of.operation, end));
      }
    } catch (thrown) {
      const { message, ...rest } = toDetail(toKhwError(thrown));
      end = end.error === undefined ? { error: { ...rest, message } } : { ...end, error: withHint(end.error, message) };
    }
    if (!isTransient(of.operation) && !signal.aborted)
      await ending(signal).catch((thrown: unknown) =>
        log(`operation ${of.operation.id}: ${toKhwError(thrown).message}`),
      );
    // No other operation may start before this point, because only one record may be written at a time.
    of.operation = ended(of.operation, end);
    if (!isTransient(of.operation)) previous = of.operation;
    changed(of.operation, previous ?? of.operation);
    status("serving");
    const { error, rolledBack } = end;
    const outcome = error === undefined ? `done, ${changedSteps} steps applied` : formatError(fromDetail(error));
    log(`operation ${of.operation.id}: ${outcome}`);
    publish(of, { $case: "operationFinished", value: { error, changedSteps, rolledBack } });
  };

  return {
    current: () => running()?.operation ?? previous,
    start: ({ id, kind, holder, desired, clusterId = "", noRollback = false }) => {
      const same = runs[kind];
      if (same !== undefined && isRunning(same) && same.operation.id === id) return;
      const operation: Operation = {
        id,
        holder,
        startedUnixMillis: os.clock.now(),
        state: OperationState.OPERATION_STATE_RUNNING,
        error: undefined,
        kind: kinds[kind],
      };
      const begun: Run = { operation, noRollback, events: [], progress: new Map(), listeners: new Set() };
      const list = {
        apply: async () => steps(desired),
        prepare: async () => downloads(desired),
        join: async () => joins(desired, clusterId),
      };
      done = machineLock.lock(holder, () => execute(begun, desired, list[kind]));
      runs[kind] = begun;
      log(`operation ${id}: started by ${holder}`);
      changed(operation, operation);
    },
    listen: (id, listener) => {
      const known = Object.values(runs).find(({ operation }) => operation.id === id);
      const run = id === "" ? (running() ?? runs.apply) : known;
      if (run === undefined) {
        throw new KhwError("INVALID_ARGUMENT", `this agent has no operation ${id === "" ? "yet" : show(id)}`, {
          hint: "run the command again; the agent has restarted since that operation, or the operation never existed",
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

const kinds = {
  apply: OperationKind.OPERATION_KIND_APPLY,
  prepare: OperationKind.OPERATION_KIND_PREPARE,
  join: OperationKind.OPERATION_KIND_JOIN,
} as const;

function titlesOf(steps: readonly Step<Os>[]) {
  return steps.map(({ id, title }) => ({ id, title }));
}
