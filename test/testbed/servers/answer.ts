import type { Readable } from "node:stream";

/** What a server says to one request. */
export interface Answer {
  readonly status: number;
  readonly headers: Readonly<Record<string, string>>;
  /** The length of a stream stands in the headers. */
  readonly body: string | Readable;
}
