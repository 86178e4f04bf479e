export const dayMillis = 86_400_000;

/** Returns the calendar day of a time in UTC: `2027-01-31`. */
export function utcDay(time: Date): string {
  return time.toISOString().slice(0, 10);
}
