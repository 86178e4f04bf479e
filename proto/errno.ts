/** Returns an error's code ("ENOENT", "ECONNRESET", ...); empty if it has no code. */
export function codeOf(error: unknown): string {
  return error instanceof Error && "code" in error && typeof error.code === "string" ? error.code : "";
}

/** Whether an error has one of these codes. */
export function isErrno(error: unknown, ...codes: readonly string[]): boolean {
  return codes.includes(codeOf(error));
}

const exhaustionHints: Readonly<Record<string, string>> = {
  EMFILE: "this process has too many open files: close its connections, or raise its limit (`prlimit --nofile`)",
  ENFILE: "the machine has too many open files: stop the program that opened them (`lsof`)",
  ENOMEM: "the machine has no free memory: stop the program that uses the most memory (`top`)",
};

/**
 * Returns the remedy if the machine has run out of a resource, which can make any call fail; undefined for other
 * errors.
 */
export function exhaustionHint(error: unknown): string | undefined {
  return exhaustionHints[codeOf(error)];
}
