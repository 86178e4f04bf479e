import type { ClientReadableStream, ServiceError } from "@grpc/grpc-js";

/** How calls are made to one agent: with a deadline, cancelled by the caller's signal, failures in khw's words. */
export interface ClientCalls {
  readonly call: <Response>(
    timeout: number,
    signal: AbortSignal,
    begin: (
      options: { deadline: number },
      done: (error: ServiceError | null, response: Response) => void,
    ) => { cancel(): void },
  ) => Promise<Response>;
  readonly messages: <Message>(stream: ClientReadableStream<Message>, signal: AbortSignal) => AsyncIterable<Message>;
  /** Rejects with what the failure of a call means. */
  readonly explain: (error: unknown) => Promise<never>;
}
