import { link, open, rename, rm, stat } from "node:fs/promises";
import { pipeline } from "node:stream/promises";
import { createGzip } from "node:zlib";
import type { Pack } from "tar-stream";
import { KhwError } from "../../proto/errors.ts";
import { existing, refuseExisting } from "../files/create.ts";

const existingHint = "specify another name with --file, or replace the file with --force";

/** A file in the archive; its text is already masked. */
export interface ArchiveEntry {
  readonly path: string;
  readonly text: string;
}

export interface ArchiveOptions {
  /** The top-level folder of every entry. */
  readonly folder: string;
  /** Whether to replace an existing file. */
  readonly force: boolean;
  readonly signal: AbortSignal;
}

/**
 * Writes the entries, as they arrive, into a tar.gz that only its owner may read. The file gets its final name only
 * when it is complete.
 * @throws KhwError INVALID_ARGUMENT if the file exists and must not be replaced; IO_FAILED
 */
export async function writeArchive(
  file: string,
  entries: AsyncIterable<ArchiveEntry>,
  { folder, force, signal }: ArchiveOptions,
): Promise<{ readonly bytes: number }> {
  if (!force) await refuseExisting(file, existingHint);
  const { pack: createPack } = await import("tar-stream");
  const temporary = `${file}.${process.pid}.part`;
  try {
    const handle = await open(temporary, "wx", 0o600);
    const pack = createPack();
    const filling = fill(pack, entries, folder);
    filling.catch((error: unknown) => pack.destroy(error instanceof Error ? error : new Error(String(error))));
    const written = pipeline(pack, createGzip(), handle.createWriteStream({ flush: true }), { signal });
    // Waits for both tasks, because the task that produces the entries closes its resources only when it ends.
    const first = (await Promise.allSettled([written, filling])).find(({ status }) => status === "rejected");
    if (first?.status === "rejected") throw first.reason;
    if (force) await rename(temporary, file);
    else await link(temporary, file);
    return { bytes: (await stat(file)).size };
  } catch (error) {
    signal.throwIfAborted();
    throw ioError(file, error);
  } finally {
    await rm(temporary, { force: true });
  }
}

/** Creates each entry only when the archive has accepted the previous entry, and stops when the archive is closed. */
async function fill(pack: Pack, entries: AsyncIterable<ArchiveEntry>, folder: string): Promise<void> {
  const closed = Promise.withResolvers<never>();
  pack.once("close", () => closed.reject(new Error("the archive cannot be written")));
  closed.promise.catch(() => {});
  for await (const { path, text } of entries) {
    const taken = Promise.withResolvers<void>();
    const header = { name: `${folder}/${path}`, mode: 0o600, mtime: new Date() };
    pack.entry(header, text, (error) => (error ? taken.reject(error) : taken.resolve()));
    await Promise.race([taken.promise, closed.promise]);
  }
  pack.finalize();
}

function ioError(file: string, error: unknown): unknown {
  if (error instanceof KhwError || !(error instanceof Error) || !("code" in error)) return error;
  if (error.code === "EEXIST") return existing(file, existingHint);
  return new KhwError("IO_FAILED", `${file}: ${error.message}`, { cause: error });
}
