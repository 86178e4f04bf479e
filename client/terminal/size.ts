import type { EventEmitter } from "node:events";

/** The parts of a terminal's stream that provide the terminal's size. */
export interface Sized extends EventEmitter {
  isTTY?: boolean;
  rows?: number;
  columns?: number;
}

/**
 * With fewer columns, output is unreadable. A serial console, or a program that acts as a terminal, reports 0 for an
 * unknown size.
 */
const fewestColumns = 20;
const usualColumns = 80;
const fewestRows = 3;
const usualRows = 24;

/**
 * Sets a default size on the stream, now and after each resize, if the terminal's size is unknown. The libraries that
 * wrap and draw text read the size from the stream.
 */
export function assumeSize(stream: Sized): void {
  const assume = (): void => {
    if ((stream.columns ?? 0) < fewestColumns) stream.columns = usualColumns;
    if ((stream.rows ?? 0) < fewestRows) stream.rows = usualRows;
  };
  assume();
  // Runs before all other listeners, which read the size.
  if (stream.isTTY === true) stream.prependListener("resize", assume);
}
