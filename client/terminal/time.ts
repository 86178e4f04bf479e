/** Formats a time for tables, in UTC: `2026-11-23 22:45:35`; a dash if there is no time. */
export function instant(unixMillis: number): string {
  return unixMillis === 0 ? "-" : new Date(unixMillis).toISOString().slice(0, 19).replace("T", " ");
}

/** Formats only the time of day, in UTC: `22:45:35`. */
export function clock(unixMillis: number): string {
  return new Date(unixMillis).toISOString().slice(11, 19);
}

/** Formats a duration in its two largest units: `4 s`, `1 min 4 s`, `2 h 1 min`. */
export function elapsed(millis: number): string {
  const seconds = Math.floor(millis / 1000);
  const [hours, minutes] = [Math.floor(seconds / 3600), Math.floor((seconds % 3600) / 60)];
  if (hours > 0) return `${hours} h ${minutes} min`;
  return minutes > 0 ? `${minutes} min ${seconds % 60} s` : `${seconds} s`;
}
