import { randomBytes } from "node:crypto";
import { setTimeout as delay } from "node:timers/promises";
import { timestamp } from "./clock.ts";
import { ApiError, invalid, notReady, operationFailure, type OperationError } from "./errors.ts";
import { linkTo, pathOf, scopeOf } from "./references.ts";
import type { Fields } from "./resources.ts";

/** Changes the store. A plan returns this function if its checks have passed. */
export type Commit = () => void;

/** A change that a caller requests. */
export interface Mutation {
  /** The path of the resource that the mutation changes. */
  readonly target: string;
  readonly verb: string;
  /**
   * Checks whether the change is currently allowed; if not, throws an {@link ApiError}. Called when the request arrives
   * and again when the operation is done.
   */
  readonly plan: () => Commit;
}

/** The options of an operation. */
export interface RunOptions {
  /** Milliseconds between the request and the DONE status. */
  readonly millis: number;
  /** If present, the operation ends with this error and changes nothing. */
  readonly failure?: OperationError;
}

/** An operation as the API returns it. */
export type Operation = Fields & { readonly selfLink: string; readonly status: string };

interface Running {
  state: Operation;
  readonly done: Promise<void>;
}

/** Keeps track of all operations, and of the resources that have a running operation. */
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

  /**
   * Throws, as Google's API does, if another operation is changing the resource, or if a resource that refers to it was
   * just deleted.
   */
  assertReady(path: string): void {
    if (this.#pending.has(path) || (this.#settling.get(path) ?? 0) > Date.now()) throw notReady(path);
  }

  /** Marks a resource as not ready for this many milliseconds. Called when a resource that refers to it is deleted. */
  settle(path: string, millis: number): void {
    if (millis > 0) this.#settling.set(path, Date.now() + millis);
  }

  get(path: string): Operation | undefined {
    return this.#running.get(path)?.state;
  }

  /** Returns the operations in a scope, newest last. */
  list(scope: string): readonly Operation[] {
    const all = [...this.#running].filter(([path]) => path.startsWith(`${scope}/operations/`));
    return all.map(([, { state }]) => state);
  }

  /**
   * Returns the operation that an earlier request with the same id started. Throws if a different request used this id.
   */
  repeated(requestId: string, request: string): Operation | undefined {
    const earlier = this.#repeats.get(requestId);
    if (earlier && earlier.request !== request)
      throw invalid("requestId", requestId, "It was used for another request.");
    return earlier && this.get(earlier.path);
  }

  /** Records the operation that a request with this id started. */
  remember(requestId: string, request: string, operation: Operation): void {
    this.#repeats.set(requestId, { request, path: pathOf(operation.selfLink) });
  }

  /** Forgets all operations. Operations that are still running no longer change anything. */
  clear(): void {
    for (const map of [this.#running, this.#pending, this.#settling, this.#repeats]) map.clear();
    this.#count = 0;
  }

  /**
   * Accepts a mutation and returns the operation that will carry it out. If the plan rejects the mutation, throws the
   * plan's error.
   */
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

  /** Resolves with the operation when it is done, when the deadline has passed, or when the signal is aborted. */
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

/** Runs the plan and commits it. If an API error occurs, returns the error as the operation's result. */
function attempt(plan: () => Commit): OperationError | undefined {
  try {
    plan()();
    return undefined;
  } catch (error) {
    if (error instanceof ApiError) return error.toOperation();
    throw error;
  }
}
