import { KhwError } from "../../proto/errors.ts";
import type { Clock } from "../os/clock.ts";

/**
 * Serializes changes to the machine. A requested operation holds the lock until it ends, and other operations are
 * refused during that time. The agent's automatic work gives way to the operation.
 */
export interface MachineLock {
  /**
   * Returns the holder of the lock; undefined if no operation holds it. The agent's automatic work does not count as a
   * holder.
   */
  holder(): Holder | undefined;
  /**
   * Takes the lock immediately. `work` starts when the agent's automatic work has ended.
   * @throws KhwError BUSY (immediately) if another operation holds the lock
   */
  lock<T>(holder: string, work: () => Promise<T>): Promise<T>;
  /**
   * Runs automatic work of the agent while the lock is free, one task at a time. The task's signal aborts as soon as an
   * operation takes the lock. Returns undefined if the task was skipped or interrupted.
   */
  whenIdle<T>(work: (signal: AbortSignal) => Promise<T>): Promise<T | undefined>;
  /** Calls the listener each time the lock becomes free, until the returned function is called. */
  whenFree(listener: () => void): () => void;
}

export interface Holder {
  readonly name: string;
  readonly sinceUnixMillis: number;
}

export function busy({ name, sinceUnixMillis }: Holder): KhwError {
  const since = new Date(sinceUnixMillis).toISOString();
  return new KhwError("BUSY", `the node is busy: ${name} has held the machine lock since ${since}`, {
    hint: "wait until that operation has ended, then run the command again",
  });
}

/** @param signal aborts the automatic work when the agent stops */
export function createMachineLock({
  clock,
  signal,
}: {
  readonly clock: Clock;
  readonly signal: AbortSignal;
}): MachineLock {
  let holder: Holder | undefined;
  let giveWay = new AbortController();
  /** Resolves when all automatic work, both running and waiting, has ended. */
  let own: Promise<unknown> = Promise.resolve();
  const listeners = new Set<() => void>();

  return {
    holder: () => holder,
    lock: (name, work) => {
      if (holder !== undefined) throw busy(holder);
      holder = { name, sinceUnixMillis: clock.now() };
      giveWay.abort(new KhwError("CANCELLED", `interrupted by ${name}`));
      const turn = own.then(work);
      return turn.finally(() => {
        holder = undefined;
        giveWay = new AbortController();
        for (const listener of listeners) listener();
      });
    },
    whenFree: (listener) => {
      listeners.add(listener);
      return () => listeners.delete(listener);
    },
    whenIdle: (work) => {
      const turn = own.then(async () => {
        const ending = AbortSignal.any([signal, giveWay.signal]);
        if (holder !== undefined || ending.aborted) return undefined;
        try {
          return await work(ending);
        } catch (error) {
          if (ending.aborted) return undefined;
          throw error;
        }
      });
      own = turn.catch(() => undefined);
      return turn;
    },
  };
}
