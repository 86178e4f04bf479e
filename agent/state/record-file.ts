import { dirname } from "node:path";
import { toKhwError } from "../../proto/errors.ts";
import type { Files } from "../os/files.ts";

/** A small file that holds part of the agent's state. The file is read only once, when it is opened. */
export interface RecordFile<T> {
  /** The stored value; undefined if the file is missing or damaged. */
  readonly found: T | undefined;
  /**
   * Returns a description of the damage; undefined if the file was intact when it was opened, or has been written
   * since.
   */
  readonly damage: () => string | undefined;
  /**
   * Writes the value, which is durable when the promise resolves. A damaged file is moved aside first instead of being
   * overwritten.
   * @throws KhwError IO_FAILED
   */
  write(value: T): Promise<void>;
}

export interface RecordFormat<T> {
  readonly encode: (value: T) => Uint8Array;
  /** @throws if the bytes are invalid; the error must not contain any of the bytes */
  readonly decode: (bytes: Uint8Array) => T;
}

/**
 * Opens a record file. Does not fail if the file is damaged. The caller decides how to treat an unreadable record.
 */
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
