import { type KhwError, toKhwError } from "../../proto/errors.ts";
import { isPassing, reconnecting } from "./reconnecting.ts";

/** One stream of one node. */
export interface Source<Message> {
  /** What it is in messages to the user: the node, or its component. */
  readonly title: string;
  /** Opens it, after what has been read already. */
  readonly open: (signal: AbortSignal) => AsyncIterable<Message>;
}

export interface ReadOptions {
  readonly follow: boolean;
  readonly signal: AbortSignal;
  /** Told of what broke; with `retryMillis` where it is opened again. */
  readonly failed: (title: string, error: KhwError, retryMillis?: number) => void;
}

/**
 * The messages of a source that never throws: it reports and ends, or with `follow` is opened again for as long as that can
 * help. Ends when the signal aborts.
 */
export async function* readAll<Message>(
  { title, open }: Source<Message>,
  { follow, signal, failed }: ReadOptions,
): AsyncGenerator<Message, void> {
  try {
    if (!follow) {
      yield* open(signal);
      return;
    }
    const lost = (error: KhwError, retryMillis: number): void => failed(title, error, retryMillis);
    yield* reconnecting({ open, lost, passing: isPassing, signal });
  } catch (error) {
    if (!signal.aborted) failed(title, toKhwError(error));
  }
}
