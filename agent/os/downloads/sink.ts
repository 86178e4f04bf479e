/** What a mirror's bytes go into. */
export interface Sink {
  /** Bytes it has, from the start of the file on. */
  readonly received: number;
  /** Tells it how long the whole file is, if the mirror says so. Rejects if it must not be so long. */
  expect(total: number | undefined): Promise<void>;
  write(chunk: Uint8Array): Promise<void>;
  /** Forgets what it has. */
  restart(): Promise<void>;
}

/** "63 of 118 MB", as decimal megabytes. */
export function amount(received: number, total: number | undefined): string {
  const megabytes = (bytes: number): string => String(Math.round(bytes / 1e6));
  return total === undefined ? `${megabytes(received)} MB` : `${megabytes(received)} of ${megabytes(total)} MB`;
}
