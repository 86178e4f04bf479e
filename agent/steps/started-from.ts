import type { Files } from "../os/os.ts";
import { startFile, startFolder } from "../paths.ts";
import type { StartRecord } from "../render/drop-in.ts";

/** A file that a service reads when it starts, and what it shall hold. */
export interface ReadFile {
  readonly path: string;
  /** SHA-256 in hex. */
  readonly sha256: string;
}

/** What a unit's drop-in has it write down at each start; undefined where it reads nothing. */
export function recordOf(unit: string, reads: readonly ReadFile[]): StartRecord | undefined {
  if (reads.length === 0) return undefined;
  return { files: reads.map(({ path }) => path), folder: startFolder(unit), file: startFile };
}

/**
 * Null when the unit's process found its files as they shall be when it was started. Nor does it differ as long as nothing
 * is known: a process that was started before its unit wrote that down.
 */
export async function startDrift(files: Files, unit: string, reads: readonly ReadFile[]): Promise<string | null> {
  const record = await files.read(`/run/${startFolder(unit)}/${startFile}`);
  const found = new Map(
    [...(record?.toString("utf8") ?? "").matchAll(/^([0-9a-f]{64}) [ *](.+)$/gm)].map(([, digest, path]) => [
      path,
      digest,
    ]),
  );
  const others = reads.filter(({ path, sha256 }) => (found.get(path) ?? sha256) !== sha256).map(({ path }) => path);
  return others.length === 0 ? null : `it was started while ${others.join(", ")} held something else`;
}
