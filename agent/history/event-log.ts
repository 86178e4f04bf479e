import { formatError, toKhwError } from "../../proto/errors.ts";
import { coalesce } from "../os/coalesce.ts";
import type { Files } from "../os/os.ts";

/** Numbered entries in two files of lines, for root alone: the older file is forgotten when the newer one is full. */
export interface EventLog<Event extends Numbered> {
  /** Appends what `make` returns for the next id. Never waits and never fails: what cannot be written down is logged. */
  append(make: (id: number) => Event): Event;
  /** The id of the newest entry; 0 for an empty log. */
  newest(): number;
  /** Oldest first; at most a page (256) of them, so that nobody holds them all in memory: the next begins after its last id. */
  list(filter: {
    readonly sinceUnixMillis: number;
    /** Of all, the newest so many; 0 or absent: all. */
    readonly limit?: number;
    readonly afterId?: number;
  }): Promise<Event[]>;
  /** Resolves when all that was appended is on disk, or could not be written. */
  settled(): Promise<void>;
}

export interface Numbered {
  readonly id: number;
  readonly timeUnixMillis: number;
}

export interface EventLogOptions<Event> {
  readonly files: Files;
  readonly folder: string;
  /** Of the newer file; the older one ends in ".1". */
  readonly name: string;
  readonly maxFileBytes: number;
  readonly encode: (event: Event) => string;
  readonly decode: (file: Buffer) => Iterable<Event>;
  readonly log: (line: string) => void;
}

const pageLength = 256;
/** What a disk that does not answer may keep waiting. */
const maxWaiting = 1_000;

/** A line that a loss of power cut off costs only itself: what cannot be read is passed over, and the next line begins on its own. */
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
      // Ids count up by one.
      const after = limit === 0 ? afterId : Math.max(afterId, newest - limit);
      await flush();
      const page: Event[] = [];
      for (const one of [olderPath, path]) {
        for (const event of decode((await files.read(one)) ?? Buffer.alloc(0))) {
          if (event.id <= after || event.timeUnixMillis < sinceUnixMillis) continue;
          // The files may have moved on between the two looks.
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
