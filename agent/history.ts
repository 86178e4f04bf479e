import type { HistoryEvent } from "../proto/gen/khw/agent/v1/agent.ts";
import type { Clock, Files } from "./os/os.ts";

/** What the agent remembers of the machine, over restarts and reboots. */
export interface History {
  /** Never waits and never fails: what cannot be written down is logged. */
  append(entry: Entry): void;
  /** Oldest first. */
  list(filter: { readonly sinceUnixMillis: number; readonly limit: number }): Promise<HistoryEvent[]>;
  /** Hears of each event as it is appended, until the returned function is called. */
  listen(listener: (event: HistoryEvent) => void): () => void;
  /** Resolves when all that was appended is on disk. */
  settled(): Promise<void>;
}

export type Entry = Pick<HistoryEvent, "kind" | "subject" | "message"> &
  Partial<Pick<HistoryEvent, "cause" | "problem">>;

export interface HistoryOptions {
  readonly files: Files;
  readonly clock: Clock;
  readonly folder: string;
  readonly log: (line: string) => void;
}

export async function openHistory({ clock }: HistoryOptions): Promise<History> {
  const events: HistoryEvent[] = [];
  const listeners = new Set<(event: HistoryEvent) => void>();
  return {
    append: (entry) => {
      const event = { cause: "", problem: false, ...entry, id: events.length + 1, timeUnixMillis: clock.now() };
      events.push(event);
      for (const listener of listeners) listener(event);
    },
    list: async ({ sinceUnixMillis, limit }) =>
      events.filter(({ timeUnixMillis }) => timeUnixMillis >= sinceUnixMillis).slice(-limit || undefined),
    listen: (listener) => {
      listeners.add(listener);
      return () => listeners.delete(listener);
    },
    settled: async () => {},
  };
}
