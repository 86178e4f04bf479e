import type { Files } from "../os/files.ts";
import { startFile, startFolder } from "../paths.ts";
import type { StartRecord } from "../render/drop-in.ts";

/** A file that a service reads when it starts, with the digest of its desired content. */
export interface ReadFile {
  readonly path: string;
  /** SHA-256 in hex. */
  readonly sha256: string;
}

/** Returns the record that is written each time the unit starts; undefined if the service reads no files. */
export function startRecordOf(unit: string, reads: readonly ReadFile[]): StartRecord | undefined {
  if (reads.length === 0) return undefined;
  return { files: reads.map(({ path }) => path), folder: startFolder(unit), file: startFile };
}

/**
 * Returns null if the unit's process read the desired files when it started. If there is no record, an older khw
 * started the process. In that case, the files are assumed to be the desired files.
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
  return others.length === 0 ? null : `it was started while ${others.join(", ")} had different content`;
}
