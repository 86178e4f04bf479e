import t from "tap";
import {
  appeared,
  type Attempts,
  dueAt,
  afterFailure,
  fresh,
  repaired,
  undoneAgain,
  vanished,
} from "../../../../agent/reconcile/attempts.ts";

const minute = 60_000;
const start = 1_000_000_000;

/** Simulates drift that returns right after each repair. Returns the number of minutes before each repair. */
function undoneAtOnce(times: number): { readonly pauses: number[]; readonly attempts: Attempts } {
  let attempts = fresh;
  let now = start;
  const pauses: number[] = [];
  for (let time = 0; time < times; time++) {
    attempts = appeared(attempts, now);
    pauses.push(Math.max(0, dueAt(attempts) - now) / minute);
    now = Math.max(now, dueAt(attempts));
    attempts = repaired(attempts, now);
  }
  return { pauses, attempts: appeared(attempts, now) };
}

t.test("drift is repaired immediately three times, then at intervals that grow to at most 30 minutes", async (t) => {
  const { pauses, attempts } = undoneAtOnce(11);
  t.strictSame(pauses, [0, 0, 0, 1, 2, 4, 8, 16, 30, 30, 30]);
  t.ok(undoneAgain(attempts));
  t.notOk(undoneAgain(undoneAtOnce(2).attempts));
});

t.test("the delay is reset if the drift does not return within ten minutes of a repair", async (t) => {
  const { attempts } = undoneAtOnce(6);
  const later = attempts.lastAttempt + 10 * minute;
  const next = appeared(vanished(attempts), later);
  t.strictSame([dueAt(next), undoneAgain(next), next.repairs.length], [later, false, 0]);
});

t.test("a failed repair is retried after 1, 2, 4, 8 and 16 minutes, and then every 30 minutes", async (t) => {
  let attempts = appeared(fresh, start);
  let now = start;
  for (const minutes of [1, 2, 4, 8, 16, 30, 30]) {
    attempts = afterFailure(attempts, now);
    t.equal(dueAt(attempts) - now, minutes * minute);
    now = dueAt(attempts);
    t.equal(appeared(attempts, now), attempts, "the drift is still reported");
  }
  t.equal(attempts.since, start);
});
