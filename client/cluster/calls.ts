import type { ClientReadableStream, ServiceError } from "@grpc/grpc-js";

/** Makes calls to an agent, each with a deadline. The caller's signal cancels the calls. Failures become KhwErrors. */
export interface ClientCalls {
  readonly call: <Response>(
    timeoutMillis: number,
    signal: AbortSignal,
    begin: BeginCall<Response>,
  ) => Promise<Response>;
  readonly messages: <Message>(stream: ClientReadableStream<Message>, signal: AbortSignal) => AsyncIterable<Message>;
  /** Rejects with a KhwError that explains the failure of a call. */
  readonly explain: (error: unknown) => Promise<never>;
}

/** Starts a unary call with a method of a generated client. */
export type BeginCall<Response> = (
  options: { deadline: number },
  done: (error: ServiceError | null, response: Response) => void,
) => {
  cancel(): void;
  getAuthContext(): { readonly sslPeerCertificate?: { readonly raw?: Buffer } } | null;
};

export interface UnaryAnswer<Response> {
  readonly response: Response;
  /** The server's certificate, if the connection was still open when the response arrived. */
  readonly certificate: Buffer | undefined;
}

/** Makes a unary call with a deadline; the signal cancels the call. Rejects with grpc-js's error. */
export function unaryCall<Response>(
  begin: BeginCall<Response>,
  { timeoutMillis, signal }: { readonly timeoutMillis: number; readonly signal: AbortSignal },
): Promise<UnaryAnswer<Response>> {
  return new Promise((resolve, reject) => {
    const running = begin({ deadline: Date.now() + timeoutMillis }, (error, response) => {
      signal.removeEventListener("abort", cancel);
      if (error !== null) return reject(error);
      // Node.js drops the certificate as soon as the connection is closed.
      return resolve({ response, certificate: running.getAuthContext()?.sslPeerCertificate?.raw });
    });
    const cancel = (): void => running.cancel();
    signal.addEventListener("abort", cancel, { once: true });
    if (signal.aborted) cancel();
  });
}
