import type { ClientReadableStream, ServiceError } from "@grpc/grpc-js";

/** Makes calls to an agent, with a deadline, cancelled by the caller's signal. Failures become KhwErrors. */
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
  /** Rejects with a KhwError that explains the failure of a call. */
  readonly explain: (error: unknown) => Promise<never>;
}
