import { randomBytes } from "node:crypto";
import { setTimeout as delay } from "node:timers/promises";
import { timestamp } from "./clock.ts";
import { ApiError, invalid, notReady, operationFailure, type OperationError } from "./errors.ts";
import { linkTo, pathOf, scopeOf } from "./references.ts";
import type { Fields } from "./resources.ts";

/** Changes the store. A plan returns this function after the plan's checks have passed. */
export type Commit = () => void;

/** A change that a caller requests. */
export interface Mutation {
  /** The path of the resource that the mutation changes. */
  readonly target: string;
  readonly verb: string;
  /**
   * Checks whether the change is allowed now; otherwise throws an {@link ApiError}. Runs at the request and again
   * at DONE.
   */
  readonly plan: () => Commit;
}

/** The options of an operation. */
export interface RunOptions {
  /** Milliseconds from the request to DONE. */
  readonly millis: number;
  /** Ends the operation with this error, without a change. */
  readonly failure?: OperationError;
}

/** An operation as the API returns it. */
export type Operation = Fields & { readonly selfLink: string; readonly status: string };

interface Running {
  state: Operation;
  readonly done: Promise<void>;
}

/** All operations, and the resources that have a running operation. */
export class Operations {
  readonly #running = new Map<string, Running>();
  readonly #pending = new Map<string, string>();
  readonly #settling = new Map<string, number>();
  readonly #repeats = new Map<string, { readonly request: string; readonly path: string }>();
  readonly #nextId: () => string;
  #count = 0;

  constructor(nextId: () => string) {
    this.#nextId = nextId;
  }

  /** The number of accepted mutations. */
  get count(): number {
    return this.#count;
  }

  /** Whether an insert of the resource is running. */
  isInserting(path: string): boolean {
    return this.#pending.get(path) === "insert";
  }

  /** Refuses, like Google, to change a resource while another operation changes it or has just released it. */
  assertReady(path: string): void {
    if (this.#pending.has(path) || (this.#settling.get(path) ?? 0) > Date.now()) throw notReady(path);
  }

  /**
   * Makes a resource not ready for this many milliseconds. This happens when a resource that refers to it is
   * deleted.
   */
  settle(path: string, millis: number): void {
    if (millis > 0) this.#settling.set(path, Date.now() + millis);
  }

  get(path: string): Operation | undefined {
    return this.#running.get(path)?.state;
  }

  /** Returns the operations of a scope, newest last. */
  list(scope: string): readonly Operation[] {
    const all = [...this.#running].filter(([path]) => path.startsWith(`${scope}/operations/`));
    return all.map(([, { state }]) => state);
  }

  /**
   * Returns the operation that an earlier request with this id started. Refuses an id that a different request has
   * used.
   */
  repeated(requestId: string, request: string): Operation | undefined {
    const earlier = this.#repeats.get(requestId);
    if (earlier && earlier.request !== request)
      throw invalid("requestId", requestId, "It was used for another request.");
    return earlier && this.get(earlier.path);
  }

  /** Records the operation that a request with an id started. */
  remember(requestId: string, request: string, operation: Operation): void {
    this.#repeats.set(requestId, { request, path: pathOf(operation.selfLink) });
  }

  /** Forgets everything. Running operations no longer change anything. */
  clear(): void {
    for (const map of [this.#running, this.#pending, this.#settling, this.#repeats]) map.clear();
    this.#count = 0;
  }

  /** Accepts a mutation and returns the operation that will carry it out. Throws the plan's error. */
  start(mutation: Mutation, options: RunOptions): Operation {
    mutation.plan();
    const path = `${scopeOf(mutation.target)}/operations/operation-${Date.now()}-${randomBytes(6).toString("hex")}`;
    const state = this.#newState(path, mutation);
    this.#count += 1;
    this.#pending.set(mutation.target, mutation.verb);
    const running: Running = { state, done: this.#run(path, mutation, options) };
    this.#running.set(path, running);
    return state;
  }

  /** Resolves with the operation when it is done, at the deadline, or when the signal ends the wait. */
  async wait(path: string, millis: number, signal: AbortSignal): Promise<Operation | undefined> {
    const stop = new AbortController();
    const deadline = delay(millis, undefined, { signal: AbortSignal.any([signal, stop.signal]), ref: false });
    await Promise.race([this.#running.get(path)?.done, deadline.catch(() => undefined)]);
    stop.abort();
    return this.get(path);
  }

  async #run(path: string, { target, plan }: Mutation, { millis, failure }: RunOptions): Promise<void> {
    await delay(millis / 2, undefined, { ref: false });
    this.#update(path, { status: "RUNNING", progress: 50, startTime: timestamp() });
    await delay(millis / 2, undefined, { ref: false });
    if (!this.#running.has(path)) return;
    this.#pending.delete(target);
    const end = failure ?? attempt(plan);
    this.#update(path, { status: "DONE", progress: 100, endTime: timestamp(), ...(end && operationFailure(end)) });
  }

  #update(path: string, fields: Fields & { readonly status: string }): void {
    const running = this.#running.get(path);
    if (running) running.state = { ...running.state, ...fields };
  }

  #newState(path: string, { target, verb }: Mutation): Operation {
    const [, scopeKind, scopeName] = /^projects\/[^/]+\/(regions|zones)\/([^/]+)/.exec(path) ?? [];
    const scope = scopeKind && scopeName ? { [scopeKind.slice(0, -1)]: linkTo(scopeOf(path)) } : {};
    return {
      kind: "compute#operation",
      id: this.#nextId(),
      name: path.slice(path.lastIndexOf("/") + 1),
      operationType: verb,
      targetLink: linkTo(target),
      targetId: this.#nextId(),
      status: "PENDING",
      user: "tester@example.com",
      progress: 0,
      insertTime: timestamp(),
      selfLink: linkTo(path),
      ...scope,
    };
  }
}

/** Plans and commits. An API error becomes the operation's result. */
function attempt(plan: () => Commit): OperationError | undefined {
  try {
    plan()();
    return undefined;
  } catch (error) {
    if (error instanceof ApiError) return error.toOperation();
    throw error;
  }
}
