/**
 * Returns the current time in the API's format, RFC 3339 with milliseconds. The time zone is UTC, whereas Google uses
 * Pacific time.
 */
export function timestamp(): string {
  return new Date().toISOString().replace("Z", "+00:00");
}

/** Creates a generator of API ids, which are unsigned 64-bit numbers. Each number is used only once. */
export function makeIds(): () => string {
  let last = BigInt(Date.now()) * 1_000_000n;
  return () => String(++last);
}
