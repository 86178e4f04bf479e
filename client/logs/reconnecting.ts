import { setTimeout as wait } from "node:timers/promises";
import { type Backoff, backoffMillis } from "../../proto/backoff.ts";
import { KhwError, toKhwError } from "../../proto/errors.ts";
import type { Gate } from "./gate.ts";

export interface Reconnecting<Message> {
  /** Opens the stream; it ends when the signal is aborted. */
  readonly open: (signal: AbortSignal) => AsyncIterable<Message>;
  /** Called when the stream breaks, with the time until it is opened again. */
  readonly lost: (error: KhwError, retryMillis: number) => void;
  /** Whether another attempt may succeed without manual action. */
  readonly passing: (error: KhwError) => boolean;
  /** The time limit for the first message; absent if a stream without messages is normal. */
  readonly firstMillis?: number;
  /**
   * Limits how many streams wait for their first message at once. The time limit starts when the gate admits the
   * stream.
   */
  readonly gate?: Gate;
  readonly signal: AbortSignal;
}

const backoff: Backoff = { firstMillis: 500, maxMillis: 10_000 };

/**
 * Streams messages until the signal is aborted. Opens a broken stream again, with exponential back-off and jitter.
 * @throws KhwError if the failure is permanent
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
      error = new KhwError("UNREACHABLE", "the agent ended the stream", { hint: "it may be restarting" });
    } catch (thrown) {
      error = giveUp.signal.aborted ? silent(toKhwError(thrown), firstMillis ?? 0) : toKhwError(thrown);
    } finally {
      clearTimeout(timer);
      leave?.();
    }
    if (signal.aborted) return;
    if (!passing(error)) throw error;
    const millis = backoffMillis(++failures, backoff);
    lost(error, millis);
    await wait(millis, undefined, { signal }).catch(() => {});
  }
}

/** Whether a node with this error may answer later. */
export function isPassing({ code }: KhwError): boolean {
  return code === "UNREACHABLE" || code === "CANCELLED" || code === "INTERRUPTED" || code === "TIMEOUT";
}

function silent({ node }: KhwError, millis: number): KhwError {
  return new KhwError("UNREACHABLE", `the agent did not answer within ${millis / 1000} s`, {
    node,
    hint: "check that the machine is up and that the agent's port can be reached from here",
  });
}
