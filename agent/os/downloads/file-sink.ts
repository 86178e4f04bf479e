import { createHash } from "node:crypto";
import { open, rm } from "node:fs/promises";
import { settle, temporaryOf } from "../durable.ts";
import { io } from "../io.ts";
import { amount, type Sink } from "./sink.ts";

/** A file in the making: its bytes are hashed as they come, and the sum goes on where a cut transfer is resumed. */
export interface FileSink extends Sink, AsyncDisposable {
  /** SHA-256 of what it has, in hex; after this only finish or dispose of it. */
  digest(): string;
  /** Puts it in its place, wholly on disk. */
  finish(mode: number): Promise<void>;
}

const progressMillis = 250;

/** Opens the temporary file beside `path`; disposing of it without finish leaves nothing. */
export async function openFileSink(path: string, progress: (text: string) => void): Promise<FileSink> {
  const temporary = temporaryOf(path);
  const doing = "cannot write";
  await io(path, doing, () => rm(temporary, { force: true }));
  const handle = await io(path, doing, () => open(temporary, "ax", 0o600));
  let sum = createHash("sha256");
  let received = 0;
  let total: number | undefined;
  let told = 0;
  const tell = (): void => {
    if (performance.now() - told < progressMillis) return;
    told = performance.now();
    progress(amount(received, total));
  };
  return {
    get received() {
      return received;
    },
    expect: (bytes) => {
      total = bytes;
    },
    write: async (chunk) => {
      await io(path, doing, () => handle.appendFile(chunk));
      sum.update(chunk);
      received += chunk.length;
      tell();
    },
    restart: async () => {
      await io(path, doing, () => handle.truncate(0));
      sum = createHash("sha256");
      received = 0;
    },
    digest: () => sum.digest("hex"),
    finish: (mode) =>
      io(path, doing, async () => {
        await handle.chmod(mode);
        await handle.sync();
        await settle(temporary, path);
      }),
    [Symbol.asyncDispose]: async () => {
      await handle.close();
      await rm(temporary, { force: true });
    },
  };
}
