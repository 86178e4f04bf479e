import { type KhwError, toKhwError } from "../../proto/errors.ts";
import { isPassing, reconnecting } from "./reconnecting.ts";

/** A stream from a node. */
export interface Source<Message> {
  /** The source's name in messages to the user: the node, or a component on the node. */
  readonly title: string;
  /** Opens the stream, starting after the messages that were already read. */
  readonly open: (signal: AbortSignal) => AsyncIterable<Message>;
}

export interface ReadOptions {
  readonly follow: boolean;
  readonly signal: AbortSignal;
  /** Called when the stream breaks. `retryMillis` is set if the stream will be opened again. */
  readonly failed: (title: string, error: KhwError, retryMillis?: number) => void;
}

/**
 * Streams a source's messages and never throws. A failure is reported; with `follow`, the source is reopened unless the
 * failure is permanent. Ends when the signal is aborted.
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
