/** Receives the data from a mirror. */
export interface Sink {
  /** The number of bytes received so far, counted from the start of the file. */
  readonly received: number;
  /**
   * Sets the file's full length; undefined if the mirror does not announce it. Rejects if the file would be too long.
   */
  expect(total: number | undefined): Promise<void>;
  write(chunk: Uint8Array): Promise<void>;
  /** Discards the data received so far. */
  restart(): Promise<void>;
}

/** Formats progress as "63 of 118 MB", in decimal megabytes. */
export function amount(received: number, total: number | undefined): string {
  const megabytes = (bytes: number): string => String(Math.round(bytes / 1e6));
  return total === undefined ? `${megabytes(received)} MB` : `${megabytes(received)} of ${megabytes(total)} MB`;
}
