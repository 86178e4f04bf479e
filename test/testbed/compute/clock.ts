/**
 * Returns the current time in the API's format: RFC 3339 with milliseconds. The zone is UTC; Google uses Pacific
 * time.
 */
export function timestamp(): string {
  return new Date().toISOString().replace("Z", "+00:00");
}

/** Makes a generator of the API's ids: unsigned 64-bit numbers, each used once. */
export function makeIds(): () => string {
  let last = BigInt(Date.now()) * 1_000_000n;
  return () => String(++last);
}
