import { formatError, toKhwError } from "../../proto/errors.ts";
import { coalesce } from "../os/coalesce.ts";
import type { Files } from "../os/files.ts";

/**
 * Numbered entries in two files of lines, readable by root only. When the newer file is full, the older one is
 * dropped.
 */
export interface EventLog<Event extends Numbered> {
  /**
   * Appends the entry that `make` returns for the next id. Never waits and never fails: an entry that cannot be
   * written is logged.
   */
  append(make: (id: number) => Event): Event;
  /** The id of the newest entry; 0 for an empty log. */
  newest(): number;
  /**
   * Returns entries, oldest first, at most a page (256) of them to bound memory. The next page begins after the
   * last id.
   */
  list(filter: {
    readonly sinceUnixMillis: number;
    /** At most this many of the newest entries; 0 or absent: all. */
    readonly limit?: number;
    readonly afterId?: number;
  }): Promise<Event[]>;
  /** Resolves when all appended entries are on disk, or could not be written. */
  settled(): Promise<void>;
}

export interface Numbered {
  readonly id: number;
  readonly timeUnixMillis: number;
}

export interface EventLogOptions<Event> {
  readonly files: Files;
  readonly folder: string;
  /** The name of the newer file; the older one ends in ".1". */
  readonly name: string;
  readonly maxFileBytes: number;
  readonly encode: (event: Event) => string;
  readonly decode: (file: Buffer) => Iterable<Event>;
  readonly log: (line: string) => void;
}

const pageLength = 256;
/** The maximum number of entries that wait while the disk does not respond. */
const maxWaiting = 1_000;

/**
 * Opens a log. If a power loss truncated a line, only that line is lost. It is skipped, and the next entry begins on a
 * new line.
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
      // Part of the line may have been written.
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
      // Ids are consecutive.
      const after = limit === 0 ? afterId : Math.max(afterId, newest - limit);
      await flush();
      const page: Event[] = [];
      for (const one of [olderPath, path]) {
        for (const event of decode((await files.read(one)) ?? Buffer.alloc(0))) {
          if (event.id <= after || event.timeUnixMillis < sinceUnixMillis) continue;
          // The files may have been rotated between the two reads.
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
