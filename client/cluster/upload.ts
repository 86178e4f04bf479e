import type { ClientWritableStream, ServiceError } from "@grpc/grpc-js";
import { toKhwError } from "../../proto/errors.ts";

export interface UploadOptions<Request, Response> {
  /** Starts the call with a method of a generated client. */
  readonly begin: (
    options: { deadline: number },
    done: (error: ServiceError | null, response: Response) => void,
  ) => ClientWritableStream<Request>;
  /** The first message, which describes the bytes that follow. */
  readonly first: Request;
  readonly toMessage: (chunk: Buffer) => Request;
  readonly chunks: AsyncIterable<Uint8Array>;
  readonly timeoutMillis: number;
  readonly signal: AbortSignal;
}

/**
 * Sends bytes to an agent as fast as the agent reads them. The agent may respond before all bytes are sent, and an
 * early response is final. Rejects with the error from grpc-js, or from the source of the bytes.
 */
export function upload<Request, Response>(options: UploadOptions<Request, Response>): Promise<Response> {
  const { begin, first, toMessage, chunks, timeoutMillis, signal } = options;
  return new Promise((resolve, reject) => {
    const answered = new AbortController();
    const stream = begin({ deadline: Date.now() + timeoutMillis }, (error, response) => {
      answered.abort();
      signal.removeEventListener("abort", cancel);
      if (error !== null) reject(error);
      else resolve(response);
    });
    const cancel = (): void => stream.cancel();
    signal.addEventListener("abort", cancel, { once: true });
    if (signal.aborted) cancel();
    const send = async (): Promise<void> => {
      stream.write(first);
      for await (const chunk of chunks) {
        if (answered.signal.aborted) return;
        const taken = stream.write(toMessage(Buffer.from(chunk)));
        if (!taken) await drained(stream, answered.signal);
      }
      stream.end();
    };
    send().catch((error: unknown) => {
      // `reject` has no effect if the agent has already responded. In that case, the response explains more than this
      // error.
      reject(toKhwError(error));
      stream.cancel();
    });
  });
}

/** Resolves when more bytes can be sent, or when the call has ended. */
function drained(stream: NodeJS.EventEmitter, answered: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    if (answered.aborted) return resolve();
    const done = (): void => {
      stream.off("drain", done);
      answered.removeEventListener("abort", done);
      resolve();
    };
    stream.once("drain", done);
    answered.addEventListener("abort", done, { once: true });
  });
}
