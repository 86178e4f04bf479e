import { createHash } from "node:crypto";
import type { BigIntStats } from "node:fs";
import { open } from "node:fs/promises";
import type { FileHandle } from "node:fs/promises";

/** Files' SHA-256, each computed once for as long as the file stays as it is, whatever names it has. */
export interface Digests {
  /** In hex; follows a symbolic link. */
  sha256(path: string): Promise<string>;
}

/** The kernel stamps times by its tick (at most 10 ms): a change within the same one would go unseen. */
const tickNanos = 20_000_000n;

const chunkBytes = 1024 * 1024;

/** More than khw looks at; what was replaced since goes first. */
const maxRemembered = 256;

export function createDigests(): Digests {
  const known = new Map<string, string>();
  return {
    sha256: async (path) => {
      await using handle = await open(path, "r");
      const before = await handle.stat({ bigint: true });
      const remembered = known.get(identityOf(before));
      if (remembered !== undefined) return remembered;

      const digest = await hash(handle);
      const after = await handle.stat({ bigint: true });
      const settled = BigInt(Date.now()) * 1_000_000n - after.ctimeNs > tickNanos;
      if (settled && identityOf(before) === identityOf(after)) known.set(identityOf(after), digest);
      if (known.size > maxRemembered) known.delete(known.keys().next().value ?? "");
      return digest;
    },
  };
}

function identityOf({ dev, ino, size, mtimeNs, ctimeNs }: BigIntStats): string {
  return [dev, ino, size, mtimeNs, ctimeNs].join(" ");
}

async function hash(handle: FileHandle): Promise<string> {
  const sum = createHash("sha256");
  const chunk = Buffer.allocUnsafe(chunkBytes);
  for (let position = 0; ;) {
    const { bytesRead } = await handle.read(chunk, 0, chunkBytes, position);
    if (bytesRead === 0) return sum.digest("hex");
    sum.update(chunk.subarray(0, bytesRead));
    position += bytesRead;
  }
}
