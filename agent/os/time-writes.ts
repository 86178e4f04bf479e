import { open, rm, stat } from "node:fs/promises";
import { connect } from "node:net";
import { dirname, join } from "node:path";
import { io, orAbsent } from "./io.ts";
import { isErrno } from "../../proto/errno.ts";

/** The size of each write, which equals the size of etcd's log record for a small request. */
const writeBytes = 2300;

export async function writes(
  folder: string,
  { count, signal }: { readonly count: number; readonly signal: AbortSignal },
): Promise<number[]> {
  const path = join(await existing(folder), ".khw-writes");
  return io(path, "cannot write", async () => {
    const times: number[] = [];
    await using handle = await open(path, "w", 0o600);
    // Unlinks the open file, so that it disappears even if the process is killed.
    await rm(path);
    for (const data = Buffer.alloc(writeBytes); times.length < count; signal.throwIfAborted()) {
      const begun = performance.now();
      await handle.write(data);
      await handle.datasync();
      times.push(performance.now() - begun);
    }
    return times;
  });
}

export function roundTrip(
  host: string,
  {
    port,
    timeoutMillis,
    signal,
  }: { readonly port: number; readonly timeoutMillis: number; readonly signal: AbortSignal },
): Promise<number | undefined> {
  const begun = performance.now();
  return new Promise((resolve, reject) => {
    const limit = AbortSignal.any([signal, AbortSignal.timeout(timeoutMillis)]);
    const socket = connect({ host, port, signal: limit });
    const answered = (): void => resolve(performance.now() - begun);
    socket.once("connect", () => {
      answered();
      socket.destroy();
    });
    socket.once("error", (error) => {
      if (signal.aborted) reject(signal.reason);
      else if (isErrno(error, "ECONNREFUSED")) answered();
      else resolve(undefined);
    });
  });
}

async function existing(folder: string): Promise<string> {
  return (await orAbsent(() => stat(folder))) === undefined ? existing(dirname(folder)) : folder;
}
