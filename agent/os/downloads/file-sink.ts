import { createHash } from "node:crypto";
import { open, rm } from "node:fs/promises";
import { settle, temporaryOf } from "../durable.ts";
import { KhwError } from "../../../proto/errors.ts";
import { freeSpace } from "../free-space.ts";
import { io } from "../io.ts";
import { MirrorFailure } from "./mirror.ts";
import { amount, type Sink } from "./sink.ts";

/**
 * A file that is being written. The data is hashed as it arrives, and hashing continues when an interrupted transfer is
 * resumed.
 */
export interface FileSink extends Sink, AsyncDisposable {
  /** Returns the SHA-256 of the received bytes, in hex. After this call, only `finish` or disposal is allowed. */
  digest(): string;
  /** Syncs the file to disk and renames it to its final path. */
  finish(mode: number): Promise<void>;
}

const progressMillis = 250;

export interface Bounds {
  /** The number of bytes that must stay free on the disk, because etcd and the journal use the same disk. */
  readonly spareBytes: number;
  readonly freeSpace: (path: string) => Promise<number>;
}

const mebibyte = 1024 ** 2;
export const defaultBounds: Bounds = { spareBytes: 100 * mebibyte, freeSpace };
/** The free space is checked again each time this many bytes have arrived. Other programs write to the same disk. */
const lookEveryBytes = 16 * mebibyte;

export interface FileSinkOptions {
  readonly progress: (text: string) => void;
  /** The maximum size of the file. */
  readonly mostBytes: number;
  readonly bounds?: Bounds | undefined;
}

/** Opens a temporary file in the folder of `path`. Disposal without `finish` removes the file. */
export async function openFileSink(
  path: string,
  { progress, mostBytes, bounds = defaultBounds }: FileSinkOptions,
): Promise<FileSink> {
  const temporary = temporaryOf(path);
  const doing = "cannot write";
  await io(path, doing, () => rm(temporary, { force: true }));
  const handle = await io(path, doing, () => open(temporary, "ax", 0o600));
  let sum = createHash("sha256");
  let received = 0;
  let total: number | undefined;
  let told = Number.NEGATIVE_INFINITY;
  let looked = 0;
  const refuseLong = (bytes: number): void => {
    if (bytes <= mostBytes) return;
    throw new MirrorFailure("lasting", `larger than ${mostBytes} bytes, the maximum for such a file`);
  };
  const refuseFullDisk = async (needed: number): Promise<void> => {
    const free = await io(path, doing, () => bounds.freeSpace(path));
    if (free - needed >= bounds.spareBytes) return;
    const [has, wants] = [free, needed + bounds.spareBytes].map((bytes) => Math.ceil(bytes / mebibyte));
    throw new KhwError("IO_FAILED", `${path}: the disk has ${has} MiB left, but ${wants} MiB are needed`, {
      hint: "free up space on the file system that contains this path, then run the command again",
    });
  };
  const tell = (): void => {
    if (performance.now() - told < progressMillis) return;
    told = performance.now();
    progress(amount(received, total));
  };
  return {
    get received() {
      return received;
    },
    expect: async (bytes) => {
      total = bytes;
      refuseLong(bytes ?? 0);
      await refuseFullDisk(Math.max(0, (bytes ?? 0) - received));
    },
    write: async (chunk) => {
      refuseLong(received + chunk.length);
      if (received - looked >= lookEveryBytes) {
        looked = received;
        await refuseFullDisk(chunk.length);
      }
      await io(path, doing, () => handle.appendFile(chunk));
      sum.update(chunk);
      received += chunk.length;
      tell();
    },
    restart: async () => {
      await io(path, doing, () => handle.truncate(0));
      sum = createHash("sha256");
      received = 0;
      looked = 0;
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
