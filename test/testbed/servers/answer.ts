import type { Readable } from "node:stream";

/** A server's response to a request. */
export interface Answer {
  readonly status: number;
  readonly headers: Readonly<Record<string, string>>;
  /** The response body. If it is a stream, its length is in the headers. */
  readonly body: string | Readable;
}
