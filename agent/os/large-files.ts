import { createHash } from "node:crypto";
import { open, rm } from "node:fs/promises";
import { KhwError } from "../../proto/errors.ts";
import { io } from "./io.ts";

/** Accesses files that are too large for memory, and folders with their contents. */
export interface LargeFiles {
  /**
   * Reads a file in chunks, optionally only the bytes from `from` up to `to`.
   * @throws KhwError IO_FAILED
   */
  read(path: string, options?: { readonly from?: number; readonly to?: number }): AsyncIterable<Buffer>;
  /**
   * Writes a file with mode 0600, and returns its SHA-256 in hex. The file is durable when the promise resolves.
   * Replaces an existing file. A failure leaves a partial file behind.
   */
  write(path: string, chunks: AsyncIterable<Uint8Array>, maxBytes: number): Promise<string>;
  /** Removes a file, or a folder with its contents. Does nothing if the path does not exist. */
  removeTree(path: string): Promise<void>;
}

const chunkBytes = 256 * 1024;

/** Creates the interface to large files and whole folders on the machine. */
export function createLargeFiles(): LargeFiles {
  return {
    read: (path, { from = 0, to = Infinity } = {}) => readChunks(path, from, to),
    write: (path, chunks, maxBytes) => io(path, "cannot write", () => writeChunks(path, chunks, maxBytes)),
    removeTree: (path) => io(path, "cannot remove", () => rm(path, { recursive: true, force: true })),
  };
}

async function* readChunks(path: string, from: number, to: number): AsyncGenerator<Buffer> {
  await using handle = await io(path, "cannot read", () => open(path, "r"));
  for (let position = from; position < to;) {
    const length = Math.min(chunkBytes, to - position);
    // Allocates a new buffer for each chunk, because the reader may keep the chunk.
    const chunk = Buffer.allocUnsafe(length);
    const { bytesRead } = await io(path, "cannot read", () => handle.read(chunk, 0, length, position));
    if (bytesRead === 0) return;
    position += bytesRead;
    yield chunk.subarray(0, bytesRead);
  }
}

async function writeChunks(path: string, chunks: AsyncIterable<Uint8Array>, maxBytes: number): Promise<string> {
  await rm(path, { force: true });
  await using handle = await open(path, "wx", 0o600);
  const sum = createHash("sha256");
  let size = 0;
  for await (const chunk of chunks) {
    size += chunk.length;
    if (size > maxBytes)
      throw new KhwError("INVALID_ARGUMENT", `the data is longer than the announced ${maxBytes} bytes`);
    sum.update(chunk);
    await handle.write(chunk);
  }
  await handle.sync();
  return sum.digest("hex");
}
