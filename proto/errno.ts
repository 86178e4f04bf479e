/** Returns the code of an error ("ENOENT", "ECONNRESET", ...); an empty string if the error has no code. */
export function codeOf(error: unknown): string {
  return error instanceof Error && "code" in error && typeof error.code === "string" ? error.code : "";
}

/** Whether an error has one of these codes. */
export function isErrno(error: unknown, ...codes: readonly string[]): boolean {
  return codes.includes(codeOf(error));
}

const exhaustionHints: Readonly<Record<string, string>> = {
  EMFILE:
    "the process has too many open files: close connections, or raise the limit on open files (`prlimit --nofile`)",
  ENFILE:
    "the machine has too many open files: stop the program that has the most files open (`lsof` lists open files)",
  ENOMEM: "the machine has no free memory: stop the program that uses the most memory (`top` shows it)",
};

/**
 * Returns the remedy if the error means that the machine has run out of a resource; undefined for any other error. Any
 * call can fail with such an error.
 */
export function exhaustionHint(error: unknown): string | undefined {
  return exhaustionHints[codeOf(error)];
}
