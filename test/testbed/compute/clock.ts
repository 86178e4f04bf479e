/** A time as the API writes it: RFC 3339 with milliseconds. The zone is UTC here, where Google uses Pacific time. */
export function timestamp(): string {
  return new Date().toISOString().replace("Z", "+00:00");
}

/** Makes the numbers that the API gives as ids: unsigned, 64 bits, never twice. */
export function makeIds(): () => string {
  let last = BigInt(Date.now()) * 1_000_000n;
  return () => String(++last);
}
