import t from "tap";
import { parseSince } from "../../../../client/config/since.ts";

const now = Date.parse("2026-11-23T12:00:00Z");

t.test("a start time can be a duration, a date, or a date with a time", async (t) => {
  const at = (text: string) => new Date(parseSince(text, now)).toISOString();
  t.equal(at("90s"), "2026-11-23T11:58:30.000Z");
  t.equal(at("10m"), "2026-11-23T11:50:00.000Z");
  t.equal(at("2h"), "2026-11-23T10:00:00.000Z");
  t.equal(at("7d"), "2026-11-16T12:00:00.000Z");
  t.equal(at("1w"), "2026-11-16T12:00:00.000Z");
  t.equal(at("2026-01-31T12:00:00Z"), "2026-01-31T12:00:00.000Z");
  t.equal(at("2026-01-31 12:00:00+01:00"), "2026-01-31T11:00:00.000Z");
  t.equal(at("2026-01-31"), "2026-01-31T00:00:00.000Z");
  t.equal(parseSince("", now), 0, "an empty start time means no limit");
  t.equal(parseSince("999999w", now), 1, "a start time before 1970 still counts as a limit");
});

for (const text of ["10", "m", "-5m", "10 m", "yesterday", "2026-13-01", "2026-01-31T25:00", "12:00"]) {
  t.test(`${text} is refused`, async (t) => {
    t.throws(() => parseSince(text, now), { code: "INVALID_ARGUMENT", hint: /10m/ });
  });
}
