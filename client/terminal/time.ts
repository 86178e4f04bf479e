/** Formats a time for tables, in UTC: `2026-11-23 22:45:35`; a dash for no time. */
export function instant(unixMillis: number): string {
  return unixMillis === 0 ? "-" : new Date(unixMillis).toISOString().slice(0, 19).replace("T", " ");
}

/** Formats the time of day alone, in UTC: `22:45:35`. */
export function clock(unixMillis: number): string {
  return new Date(unixMillis).toISOString().slice(11, 19);
}
