import { formatError, toKhwError } from "../../proto/errors.ts";
import { coalesce } from "../os/coalesce.ts";
import type { Files } from "../os/files.ts";

/**
 * A log of numbered entries, one per line, in two files that only root can read. When the newer file is full, it
 * replaces the older file.
 */
export interface EventLog<Event extends Numbered> {
  /**
   * Appends the entry that `make` returns for the next ID. Never waits and never fails. The agent logs an error if
   * entries cannot be written.
   */
  append(make: (id: number) => Event): Event;
  /** Returns the ID of the newest entry; 0 if the log is empty. */
  newest(): number;
  /**
   * Returns entries, oldest first. To limit memory use, the result contains at most one page (256 entries). For the
   * next page, pass the last entry's ID as `afterId`.
   */
  list(filter: {
    readonly sinceUnixMillis: number;
    /** The maximum number of entries, counted from the newest; 0 or absent means all entries. */
    readonly limit?: number;
    readonly afterId?: number;
  }): Promise<Event[]>;
  /** Resolves when the agent has written, or failed to write, all appended entries. */
  settled(): Promise<void>;
}

export interface Numbered {
  readonly id: number;
  readonly timeUnixMillis: number;
}

export interface EventLogOptions<Event> {
  readonly files: Files;
  readonly folder: string;
  /** The name of the newer file. The older file has the same name plus ".1". */
  readonly name: string;
  readonly maxFileBytes: number;
  readonly encode: (event: Event) => string;
  readonly decode: (file: Buffer) => Iterable<Event>;
  readonly log: (line: string) => void;
}

const pageLength = 256;
/** The maximum number of entries that are waiting to be written, for example while the disk does not respond. */
const maxWaiting = 1_000;

/**
 * Opens a log. If a power failure truncated a line, only that entry is lost. Readers skip the truncated line, and the
 * next entry starts on a new line.
 */
export async function openEventLog<Event extends Numbered>(options: EventLogOptions<Event>): Promise<EventLog<Event>> {
  const { files, folder, name, maxFileBytes, encode, decode, log } = options;
  const [path, olderPath] = [`${folder}/${name}`, `${folder}/${name}.1`];
  const [older, current] = [await files.read(olderPath), await files.read(path)];
  const lastId = (file: Buffer = Buffer.alloc(0)): number => {
    let last = 0;
    for (const { id } of decode(file)) last = Math.max(last, id);
    return last;
  };
  let newest = lastId(current) || lastId(older);
  let size = current?.length ?? 0;
  /** Whether the file ends in the middle of a line. */
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
      // The failed write may have written part of a line.
      torn = true;
      if (!failing) log(`${path} cannot be written: ${formatError(toKhwError(error))}`);
      failing = true;
    }
  });

  return {
    append: (make) => {
      const event = make(++newest);
      if (waiting.length < maxWaiting) waiting.push(encode(event));
      void flush();
      return event;
    },
    newest: () => newest,
    list: async ({ sinceUnixMillis, limit = 0, afterId = 0 }) => {
      // IDs are consecutive, so the last `limit` entries are those after `newest - limit`.
      const after = limit === 0 ? afterId : Math.max(afterId, newest - limit);
      await flush();
      const page: Event[] = [];
      for (const one of [olderPath, path]) {
        for (const event of decode((await files.read(one)) ?? Buffer.alloc(0))) {
          if (event.id <= after || event.timeUnixMillis < sinceUnixMillis) continue;
          // Skips duplicates, because the files may have been rotated between the two reads.
          if (event.id > (page.at(-1)?.id ?? 0)) page.push(event);
          if (page.length === pageLength) return page;
        }
      }
      return page;
    },
    settled: () => flush(),
  };
}

const newline = 0x0a;
