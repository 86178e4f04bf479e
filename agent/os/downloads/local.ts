import { createReadStream } from "node:fs";
import { stat } from "node:fs/promises";
import { KhwError } from "../../../proto/errors.ts";
import { systemMessage } from "../io.ts";
import { MirrorFailure } from "./mirror.ts";
import type { Sink } from "./sink.ts";

const chunkBytes = 1024 * 1024;

/**
 * Copies a file on this machine into the sink.
 * @throws MirrorFailure if the file cannot be read
 */
export async function copyLocal(path: string, sink: Sink, signal: AbortSignal): Promise<void> {
  try {
    await sink.expect((await stat(path)).size);
    for await (const chunk of createReadStream(path, { highWaterMark: chunkBytes, signal })) await sink.write(chunk);
  } catch (error) {
    signal.throwIfAborted();
    if (error instanceof KhwError || error instanceof MirrorFailure) throw error;
    const message = systemMessage(error);
    if (message === undefined) throw error;
    throw new MirrorFailure("lasting", message, { cause: error });
  }
}
