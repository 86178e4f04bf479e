import { createHash } from "node:crypto";
import type { FileHandle } from "node:fs/promises";

const chunkBytes = 1024 * 1024;

/** Returns the SHA-256 of an open file's content, in hex. */
export async function digestOf(handle: FileHandle): Promise<string> {
  const sum = createHash("sha256");
  const chunk = Buffer.allocUnsafe(chunkBytes);
  for (let position = 0; ;) {
    const { bytesRead } = await handle.read(chunk, 0, chunkBytes, position);
    if (bytesRead === 0) return sum.digest("hex");
    sum.update(chunk.subarray(0, bytesRead));
    position += bytesRead;
  }
}
