import { once } from "node:events";
import {
  type handleServerStreamingCall,
  type handleUnaryCall,
  type handleClientStreamingCall,
  Metadata,
  type ServerReadableStream,
  type ServerUnaryCall,
  type ServerWritableStream,
} from "@grpc/grpc-js";
import { KhwError, toKhwError } from "../../proto/errors.ts";
import { toServiceError } from "../../proto/errors-wire.ts";
import type { Audit } from "../audit/audit.ts";
import { callerOf, expiry } from "./caller.ts";

export interface CallOptions {
  /** Aborts when the agent stops. */
  readonly signal: AbortSignal;
  readonly log: (line: string) => void;
  readonly audit: Audit;
}

/** Returns the caller's name and address, for messages. */
export function holderOf(call: Pick<ServerUnaryCall<unknown, unknown>, "getAuthContext" | "getPeer">): string {
  return `${callerOf(call.getAuthContext())?.name ?? "?"} from ${call.getPeer()}`;
}

/** Serves a unary call. If the handler throws an error, the call fails with that error. */
export function unary<Request, Response>(
  { log }: CallOptions,
  answer: (request: Request, call: ServerUnaryCall<Request, Response>) => Promise<Response>,
): handleUnaryCall<Request, Response> {
  return (call, callback) => {
    answer(call.request, call).then(
      (response) => callback(null, response),
      (error: unknown) => callback(toServiceError(reportFailure(log, call.getPath(), error))),
    );
  };
}

/**
 * Serves a streaming call, which ends when the handler's promise settles. The handler's signal aborts when the caller
 * disconnects or the agent stops.
 */
export function streaming<Request, Response>(
  { signal, log }: CallOptions,
  answer: (call: ServerWritableStream<Request, Response>, gone: AbortSignal) => Promise<void>,
): handleServerStreamingCall<Request, Response> {
  return (call) => {
    const gone = new AbortController();
    const end = (): void => gone.abort(signal.reason);
    signal.addEventListener("abort", end, { once: true });
    call.once("cancelled", () => gone.abort());
    if (signal.aborted || call.cancelled) end();
    const validity = watchValidity(call, gone);
    Promise.race([answer(call, gone.signal), validity.ended])
      .then(
        () => call.end(),
        (error: unknown) => {
          // A disconnection by the caller does not count as a failure.
          if (call.cancelled) return;
          const reason: unknown = signal.aborted ? signal.reason : error;
          call.emit("error", toServiceError(reportFailure(log, call.getPath(), reason)));
        },
      )
      .finally(() => {
        signal.removeEventListener("abort", end);
        validity.stop();
        // Ends any work that is still running for this call.
        gone.abort();
      });
  };
}

/**
 * Serves a call with many messages and one response. The response may be sent before the last message has been read.
 * The handler's signal aborts when the caller disconnects or the agent stops.
 */
export function receiving<Request, Response>(
  { signal, log }: CallOptions,
  answer: (call: ServerReadableStream<Request, Response>, gone: AbortSignal) => Promise<Response>,
): handleClientStreamingCall<Request, Response> {
  return (call, callback) => {
    const gone = new AbortController();
    call.once("cancelled", () => gone.abort(new KhwError("CANCELLED", "the caller disconnected")));
    const validity = watchValidity(call, gone);
    Promise.race([answer(call, AbortSignal.any([signal, gone.signal])), validity.ended])
      .then(
        (response) => callback(null, response),
        (error: unknown) => callback(toServiceError(reportFailure(log, call.getPath(), error))),
      )
      .finally(() => validity.stop());
  };
}

/**
 * How often the certificate's validity is checked during a call. A timer alone is not enough, because the clock may be
 * set.
 */
const validityMillis = 10_000;

/** Rejects `ended` and aborts `gone` when the caller's certificate expires during the call. */
function watchValidity(
  call: Pick<ServerUnaryCall<unknown, unknown>, "getAuthContext">,
  gone: AbortController,
): { readonly ended: Promise<never>; readonly stop: () => void } {
  const { promise: ended, reject } = Promise.withResolvers<never>();
  ended.catch(() => undefined);
  const caller = callerOf(call.getAuthContext());
  if (caller === undefined) return { ended, stop: () => {} };
  let timer: NodeJS.Timeout | undefined;
  const look = (): void => {
    const reason = expiry(caller);
    if (reason === undefined) {
      const left = caller.validToUnixMillis - Date.now();
      timer = setTimeout(look, Math.min(Math.max(left, 0), validityMillis)).unref();
      return;
    }
    reject(reason);
    gone.abort(reason);
  };
  look();
  return { ended, stop: () => clearTimeout(timer) };
}

/** Tells the caller immediately that the call was accepted, because the first message may take a long time. */
export function accept<Request, Response>(call: ServerWritableStream<Request, Response>): void {
  call.sendMetadata(new Metadata());
}

/**
 * Sends a message, and resolves when the caller can receive more. A slow caller thus slows down the sender, and the
 * agent does not buffer messages in memory.
 */
export async function send<Request, Response>(
  call: ServerWritableStream<Request, Response>,
  message: Response,
  gone: AbortSignal,
): Promise<void> {
  gone.throwIfAborted();
  if (!call.write(message)) await once(call, "drain", { signal: gone });
}

function reportFailure(log: (line: string) => void, path: string, thrown: unknown): KhwError {
  const error = toKhwError(thrown);
  // Only bugs are logged here, because the audit entry of the call records every other error.
  if (error.code === "INTERNAL" && error.stack !== undefined) log(`${path}: ${error.stack}`);
  return error;
}
