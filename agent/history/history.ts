import { mapStrings, oneLine } from "../../proto/sanitize.ts";
import type { HistoryEvent } from "../../proto/gen/khw/agent/v1/agent.ts";
import type { Clock } from "../os/clock.ts";
import type { Files } from "../os/files.ts";
import { type EventLog, openEventLog } from "./event-log.ts";
import { decodeEvents, encodeEvent } from "./lines.ts";

/** The agent's history of the machine, which survives restarts and reboots. */
export interface History extends Omit<EventLog<HistoryEvent>, "append"> {
  /** Appends an entry. Never waits and never fails. The agent logs an error if entries cannot be written. */
  append(entry: HistoryEntry): void;
  /** Calls the listener with each appended event, until the returned function is called. */
  listen(listener: (event: HistoryEvent) => void): () => void;
}

export type HistoryEntry = Pick<HistoryEvent, "kind" | "subject" | "message"> &
  Partial<Pick<HistoryEvent, "cause" | "problem">>;

export interface HistoryOptions {
  readonly files: Files;
  readonly clock: Clock;
  readonly folder: string;
  readonly log: (line: string) => void;
}

/** The maximum size of each of the two files. */
const maxFileBytes = 512 * 1024;

export async function openHistory({ files, clock, folder, log }: HistoryOptions): Promise<History> {
  const codec = { encode: encodeEvent, decode: decodeEvents };
  const events = await openEventLog<HistoryEvent>({ files, folder, name: "history", maxFileBytes, log, ...codec });
  const listeners = new Set<(event: HistoryEvent) => void>();
  return {
    ...events,
    append: (entry) => {
      // The texts can come from journals, certificates, callers and servers, so they are sanitized.
      const texts = mapStrings({ cause: "", problem: false, ...entry }, oneLine);
      const event = events.append((id) => ({ ...texts, id, timeUnixMillis: clock.now() }));
      for (const listener of listeners) listener(event);
    },
    listen: (listener) => {
      listeners.add(listener);
      return () => listeners.delete(listener);
    },
  };
}
