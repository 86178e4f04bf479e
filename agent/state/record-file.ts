import { dirname } from "node:path";
import { toKhwError } from "../../proto/errors.ts";
import type { Files } from "../os/files.ts";

/** A small file with part of the agent's state, read once when it is opened. */
export interface RecordFile<T> {
  /** Undefined if the file is missing or damaged. */
  readonly found: T | undefined;
  /** Describes the fault of the file; undefined if there is no fault, and after a write. */
  readonly damage: () => string | undefined;
  /**
   * Writes the value, which is durable when the promise resolves. A damaged file is first moved aside, never
   * overwritten.
   * @throws KhwError IO_FAILED
   */
  write(value: T): Promise<void>;
}

export interface RecordFormat<T> {
  readonly encode: (value: T) => Uint8Array;
  /** @throws for invalid bytes; the error must not contain any part of the bytes */
  readonly decode: (bytes: Uint8Array) => T;
}

/** Opens a record file. A damaged file is not an error here: the caller decides what an unreadable record means. */
export async function openRecordFile<T>(
  files: Files,
  path: string,
  { encode, decode }: RecordFormat<T>,
): Promise<RecordFile<T>> {
  let found: T | undefined;
  let damage: string | undefined;
  try {
    const bytes = await files.read(path);
    // A power loss can leave an empty file, which protobuf would decode as a message without fields.
    if (bytes !== undefined && bytes.length === 0) throw new Error("it is empty");
    if (bytes !== undefined) found = decode(bytes);
  } catch (error) {
    damage = `${path} cannot be read: ${toKhwError(error).message}`;
  }
  return {
    found,
    damage: () => damage,
    write: async (value) => {
      await files.mkdir(dirname(path), 0o700);
      if (damage !== undefined) await files.rename(path, await freeName(files, `${path}.damaged`));
      damage = undefined;
      await files.write(path, encode(value), 0o600);
    },
  };
}

async function freeName(files: Pick<Files, "stat">, wanted: string): Promise<string> {
  for (let number = 1; ; number++) {
    const name = number === 1 ? wanted : `${wanted}-${number}`;
    if ((await files.stat(name)) === undefined) return name;
  }
}
