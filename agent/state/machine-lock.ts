import { KhwError } from "../../proto/errors.ts";
import type { Clock } from "../os/os.ts";

/**
 * Whose turn it is to change the machine: one at a time. What somebody asked for holds the machine until it is done, and
 * refuses others meanwhile; what the agent does by itself gives way to it.
 */
export interface Writer {
  /** Who holds the machine; undefined when nobody does. The agent's own work is not told of here. */
  holder(): Holder | undefined;
  /** Holds the machine at once; the work begins when what the agent did by itself has ended. @throws KhwError BUSY (at once) when another holds it. */
  hold<T>(holder: string, work: () => Promise<T>): Promise<T>;
  /**
   * The agent's own work, when nobody holds the machine: one after the other. Its signal aborts as soon as somebody wants
   * the machine. Undefined when it was not begun, or had to give way.
   */
  yielding<T>(work: (signal: AbortSignal) => Promise<T>): Promise<T | undefined>;
  /** Hears that nobody holds the machine any more, each time, until the returned function is called. */
  whenFree(listener: () => void): () => void;
}

export interface Holder {
  readonly name: string;
  readonly sinceUnixMillis: number;
}

/** @param signal Aborts the agent's own work when the agent ends. */
export function createWriter({ clock, signal }: { readonly clock: Clock; readonly signal: AbortSignal }): Writer {
  let holder: Holder | undefined;
  let giveWay = new AbortController();
  /** The end of the agent's own work that was begun or waits, in a row. */
  let own: Promise<unknown> = Promise.resolve();
  const listeners = new Set<() => void>();

  return {
    holder: () => holder,
    hold: (name, work) => {
      if (holder !== undefined) {
        const since = new Date(holder.sinceUnixMillis).toISOString();
        throw new KhwError("BUSY", `${holder.name} has been at it since ${since}`, {
          hint: "wait for that to end, then run the command again",
        });
      }
      holder = { name, sinceUnixMillis: clock.now() };
      giveWay.abort(new KhwError("CANCELLED", `gave way to ${name}`));
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
    yielding: (work) => {
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
