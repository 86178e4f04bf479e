import { dirname } from "node:path";
import type { Step } from "../../proto/step.ts";
import type { Files } from "../os/files.ts";
import type { Os } from "../os/os.ts";

/**
 * A record of the files that khw has written to a folder. The record ensures that khw later removes only these files.
 */
export interface NameRecord {
  /** The id of the step that writes the record. */
  readonly id: string;
  readonly title: string;
  /** The path of the record, which has one name per line. */
  readonly path: string;
}

/** Records the names before the files are written, so that a later desired state can remove the files. */
export function recordNames({ id, title, path }: NameRecord, names: readonly string[]): Step<Os> {
  return {
    id,
    title,
    needs: ["identity"],
    check: async ({ files }) => {
      const known = await readNames(files, path);
      return names.every((name) => known.includes(name)) ? null : { summary: "the record lacks a name" };
    },
    apply: async ({ files }) => {
      await writeNames(files, path, [...new Set([...(await readNames(files, path)), ...names])]);
    },
  };
}

/** Returns the names of all files that khw has written and not removed yet. */
export async function readNames(files: Pick<Files, "read">, path: string): Promise<string[]> {
  const text = (await files.read(path))?.toString("utf8") ?? "";
  return text.split("\n").filter((line) => /^[A-Za-z0-9][A-Za-z0-9._-]*$/.test(line));
}

export async function writeNames(
  files: Pick<Files, "write" | "mkdir">,
  path: string,
  names: readonly string[],
): Promise<void> {
  await files.mkdir(dirname(path), 0o700);
  await files.write(path, names.map((name) => `${name}\n`).join(""), 0o600);
}
