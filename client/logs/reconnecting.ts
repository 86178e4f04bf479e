import { setTimeout as wait } from "node:timers/promises";
import { KhwError, toKhwError } from "../../proto/errors.ts";
import type { Gate } from "./gate.ts";

export interface Reconnecting<Message> {
  /** Opens the stream; it ends when the signal aborts. */
  readonly open: (signal: AbortSignal) => AsyncIterable<Message>;
  /** Told that the stream broke, and when it is opened again. */
  readonly lost: (error: KhwError, retryMillis: number) => void;
  /** Whether another try may succeed without anybody's doing. */
  readonly passing: (error: KhwError) => boolean;
  /** How long a stream may take to its first message; absent where there may be none for ever. */
  readonly firstMillis?: number;
  /** Bounds how many streams are on the way to their first message at once; that time counts from the turn on. */
  readonly gate?: Gate;
  readonly signal: AbortSignal;
}

const firstWait = 500;
const longestWait = 10_000;

/**
 * The messages of a stream that is opened anew whenever it breaks, with exponential back-off and jitter, until the signal
 * aborts. @throws KhwError for what does not pass by itself
 */
export async function* reconnecting<Message>({
  open,
  lost,
  passing,
  firstMillis,
  gate,
  signal,
}: Reconnecting<Message>): AsyncGenerator<Message, void> {
  let failures = 0;
  while (!signal.aborted) {
    const leave = await gate?.enter();
    const giveUp = new AbortController();
    const timer = firstMillis === undefined ? undefined : setTimeout(() => giveUp.abort(), firstMillis);
    let error: KhwError;
    try {
      for await (const message of open(AbortSignal.any([signal, giveUp.signal]))) {
        clearTimeout(timer);
        leave?.();
        failures = 0;
        yield message;
      }
      error = new KhwError("UNREACHABLE", "the agent ended its answer", { hint: "it may be restarting" });
    } catch (thrown) {
      error = giveUp.signal.aborted ? silent(toKhwError(thrown), firstMillis ?? 0) : toKhwError(thrown);
    } finally {
      clearTimeout(timer);
      leave?.();
    }
    if (signal.aborted) return;
    if (!passing(error)) throw error;
    const millis = Math.min(firstWait * 2 ** failures++, longestWait) * (0.75 + Math.random() / 2);
    lost(error, millis);
    await wait(millis, undefined, { signal }).catch(() => {});
  }
}

/** Whether a node that answers so may answer otherwise later on. */
export function isPassing({ code }: KhwError): boolean {
  return code === "UNREACHABLE" || code === "CANCELLED" || code === "INTERRUPTED" || code === "TIMEOUT";
}

function silent({ node }: KhwError, millis: number): KhwError {
  return new KhwError("UNREACHABLE", `the agent does not answer within ${millis / 1000} s`, {
    node,
    hint: "is the machine up, and its port open to here?",
  });
}
