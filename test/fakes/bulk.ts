import { createHash } from "node:crypto";
import type { LargeFiles } from "../../agent/os/large-files.ts";
import { KhwError } from "../../proto/errors.ts";
import type { FakeFiles } from "./files.ts";

/** Creates an implementation of the large-file operations that works on fake files. */
export function createFakeBulk(files: FakeFiles): LargeFiles {
  const removeTree = async (path: string): Promise<void> => {
    for (const name of await files.list(path)) await removeTree(`${path}/${name}`);
    await files.remove(path);
  };
  return {
    read: async function* (path, { from = 0, to = Infinity } = {}) {
      const content = await files.read(path);
      if (content === undefined) throw new KhwError("IO_FAILED", `${path}: cannot read`);
      yield content.subarray(from, Math.min(to, content.length));
    },
    write: async (path, chunks, maxBytes) => {
      const all: Uint8Array[] = [];
      let size = 0;
      for await (const chunk of chunks) {
        size += chunk.length;
        if (size > maxBytes) throw new KhwError("INVALID_ARGUMENT", "more than announced");
        all.push(chunk);
      }
      const content = Buffer.concat(all);
      files.put(path, content, 0o600);
      return createHash("sha256").update(content).digest("hex");
    },
    removeTree,
  };
}
