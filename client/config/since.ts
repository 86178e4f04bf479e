import { KhwError } from "../../proto/errors.ts";
import { show } from "../../proto/validate.ts";
import { dayMillis } from "../../proto/time.ts";

const units: Readonly<Record<string, number>> = { s: 1_000, m: 60_000, h: 3_600_000, d: dayMillis, w: 604_800_000 };
const iso = /^\d{4}-\d\d-\d\d([T ]\d\d:\d\d(:\d\d(\.\d{1,3})?)?(Z|[+-]\d\d:\d\d)?)?$/;

/**
 * Parses a point in time: an age such as `10m`, `2h` or `7d`, or an ISO 8601 time. A time without a time zone is in
 * this machine's time zone. Returns milliseconds since the epoch; 0 for empty text.
 * @throws KhwError INVALID_ARGUMENT
 */
export function parseSince(text: string, now: number): number {
  if (text === "") return 0;
  const [, count = "", unit = ""] = /^(\d{1,6})([smhdw])$/.exec(text) ?? [];
  const length = units[unit];
  if (length !== undefined) return Math.max(1, now - Number(count) * length);
  const time = iso.test(text) ? Date.parse(text.replace(" ", "T")) : Number.NaN;
  if (Number.isNaN(time)) {
    throw new KhwError("INVALID_ARGUMENT", `--since: ${show(text)} is neither a duration nor a time`, {
      hint: "use a value such as 90s, 10m, 2h, 7d or 2026-01-31T12:00:00Z",
    });
  }
  return Math.max(1, time);
}
