import type { EventEmitter } from "node:events";

/** The parts of a terminal's stream that say how large it is. */
export interface Sized extends EventEmitter {
  isTTY?: boolean;
  rows?: number;
  columns?: number;
}

/** Nobody reads in fewer columns: a serial console, or a program that stands in for a terminal, reports 0 for "not known". */
const fewestColumns = 20;
const usualColumns = 80;
const fewestRows = 3;
const usualRows = 24;

/**
 * Gives the stream the usual size where its terminal's is not known, now and after each change: the libraries that wrap and
 * draw read it there.
 */
export function assumeSize(stream: Sized): void {
  const assume = (): void => {
    if ((stream.columns ?? 0) < fewestColumns) stream.columns = usualColumns;
    if ((stream.rows ?? 0) < fewestRows) stream.rows = usualRows;
  };
  assume();
  // Before every other listener.
  if (stream.isTTY === true) stream.prependListener("resize", assume);
}
