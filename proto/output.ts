import { fstatSync, writeSync } from "node:fs";
import type { Writable } from "node:stream";
import { isatty } from "node:tty";
import { KhwError } from "./errors.ts";

/** Standard output or standard error. */
export interface StandardStream extends Writable {
  readonly fd: number;
}

/**
 * Returns a function that writes text to the stream. Reports only the first failure, and drops all text after it.
 *
 * Bypasses Node's stream for files, because Node ignores short writes. With Node's stream, a full disk would silently
 * truncate the text.
 */
export function createWriter(
  stream: StandardStream,
  failed: (error: NodeJS.ErrnoException) => void,
): (text: string) => void {
  let broken = false;
  const fail = (error: NodeJS.ErrnoException): void => {
    if (broken) return;
    broken = true;
    failed(error);
  };
  stream.on("error", fail);
  const toFile = isFile(stream.fd);
  return (text) => {
    if (broken) return;
    if (!toFile) return void stream.write(text);
    try {
      writeAll(stream.fd, text);
    } catch (error) {
      if (!isSystemError(error)) throw error;
      fail(error);
    }
  };
}

/** Writes the complete text, or throws the error of the failed system call. */
export function writeAll(fd: number, text: string): void {
  let rest = Buffer.from(text);
  while (rest.length > 0) rest = rest.subarray(writeSync(fd, rest));
}

/** Builds the KhwError for a failed write. */
export function writeError(what: string, cause: Error): KhwError {
  return new KhwError("IO_FAILED", `${what} cannot be written: ${cause.message}`, {
    hint: "free up space on that disk, or send the output elsewhere, then run the command again",
    cause,
  });
}

function isSystemError(error: unknown): error is NodeJS.ErrnoException {
  return error instanceof Error && "code" in error && "syscall" in error;
}

/**
 * Whether the stream is a file. /dev/full counts as a file too. Node writes correctly to terminals, pipes and sockets.
 */
function isFile(fd: number): boolean {
  const stats = fstatSync(fd);
  return stats.isFile() || (stats.isCharacterDevice() && !isatty(fd));
}
