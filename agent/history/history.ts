import { mapStrings, oneLine } from "../../proto/sanitize.ts";
import type { HistoryEvent } from "../../proto/gen/khw/agent/v1/agent.ts";
import { formatError, toKhwError } from "../../proto/errors.ts";
import { decodeEvents, encodeEvent } from "./lines.ts";
import { coalesce } from "../os/coalesce.ts";
import type { Clock, Files } from "../os/os.ts";

/** What the agent remembers of the machine, over restarts and reboots. */
export interface History {
  /** Never waits and never fails: what cannot be written down is logged. */
  append(entry: Entry): void;
  /** The id of the newest event; 0 when there is none. */
  newest(): number;
  /** Oldest first; at most a page (256) of them, so that nobody holds them all in memory: the next begins after its last id. */
  list(filter: {
    readonly sinceUnixMillis: number;
    /** Of all, the newest so many; 0 or absent: all. */
    readonly limit?: number;
    readonly afterId?: number;
  }): Promise<HistoryEvent[]>;
  /** Hears of each event as it is appended, until the returned function is called. */
  listen(listener: (event: HistoryEvent) => void): () => void;
  /** Resolves when all that was appended is on disk, or could not be written. */
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

/** Of each of the two files; the older one is forgotten when the newer one is full. */
const maxFileBytes = 512 * 1024;
const pageLength = 256;
/** What a disk that does not answer may keep waiting. */
const maxWaiting = 1_000;

/**
 * Kept in two files of lines, for root alone. A line that a loss of power cut off costs only itself: what cannot be read is
 * passed over, and the next line begins on its own.
 */
export async function openHistory({ files, clock, folder, log }: HistoryOptions): Promise<History> {
  const [path, olderPath] = [`${folder}/history`, `${folder}/history.1`];
  const listeners = new Set<(event: HistoryEvent) => void>();
  const [older, current] = [await files.read(olderPath), await files.read(path)];
  let newest = lastId(current) || lastId(older);
  let size = current?.length ?? 0;
  /** The file ends in the middle of a line. */
  let torn = current !== undefined && current.length > 0 && current.at(-1) !== newline;
  let waiting: string[] = [];
  let failing = false;

  const flush = coalesce(async () => {
    const lines = waiting;
    if (lines.length === 0) return;
    waiting = [];
    const text = Buffer.from(`${torn ? "\n" : ""}${lines.join("")}`);
    try {
      await files.mkdir(folder, 0o700);
      if (size > 0 && size + text.length > maxFileBytes) {
        await files.rename(path, olderPath);
        size = 0;
      }
      await files.append(path, text, 0o600);
      size += text.length;
      [torn, failing] = [false, false];
    } catch (error) {
      // Whether a part of it is there is not known.
      torn = true;
      if (!failing) log(`the history cannot be written: ${formatError(toKhwError(error))}`);
      failing = true;
    }
  });

  return {
    append: (entry) => {
      // Journals, certificates, callers and servers are among the sources of these texts.
      const texts = mapStrings({ cause: "", problem: false, ...entry }, oneLine);
      const event = { ...texts, id: ++newest, timeUnixMillis: clock.now() };
      if (waiting.length < maxWaiting) waiting.push(encodeEvent(event));
      void flush();
      for (const listener of listeners) listener(event);
    },
    newest: () => newest,
    list: async ({ sinceUnixMillis, limit = 0, afterId = 0 }) => {
      // Ids count up by one.
      const after = limit === 0 ? afterId : Math.max(afterId, newest - limit);
      await flush();
      const page: HistoryEvent[] = [];
      for (const one of [olderPath, path]) {
        for (const event of decodeEvents((await files.read(one)) ?? Buffer.alloc(0))) {
          if (event.id <= after || event.timeUnixMillis < sinceUnixMillis) continue;
          // The files may have moved on between the two looks.
          if (event.id > (page.at(-1)?.id ?? 0)) page.push(event);
          if (page.length === pageLength) return page;
        }
      }
      return page;
    },
    listen: (listener) => {
      listeners.add(listener);
      return () => listeners.delete(listener);
    },
    settled: () => flush(),
  };
}

const newline = 0x0a;

function lastId(file: Buffer | undefined): number {
  let last = 0;
  for (const { id } of decodeEvents(file ?? Buffer.alloc(0))) last = Math.max(last, id);
  return last;
}
