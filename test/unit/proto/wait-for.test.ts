import t from "tap";
import { KhwError } from "../../../proto/errors.ts";
import { type WaitClock, waitFor } from "../../../proto/wait-for.ts";

const never = new AbortController().signal;

/** Creates a clock on which delays end immediately. Each delay still advances the clock by its length. */
function fastClock(): WaitClock {
  let now = 0;
  return {
    monotonic: () => now,
    delay: async (millis, signal) => {
      signal.throwIfAborted();
      now += millis;
    },
  };
}

const wait = { what: "etcd has no leader", deadlineMillis: 1_000, intervalMillis: 400 };

t.test("the value is returned as soon as it is available, and the state before each pause is reported", async (t) => {
  const looks = ["asking", "voting"];
  const progress: string[] = [];
  const value = await waitFor({
    ...wait,
    clock: fastClock(),
    signal: never,
    check: async () => {
      const seen = looks.shift();
      return seen === undefined ? { reached: 7 } : { seen };
    },
    progress: (seen) => void progress.push(seen),
  });
  t.equal(value, 7);
  t.strictSame(progress, ["asking", "voting"]);
});

t.test("a timeout error names the awaited condition, the time and the last state", async (t) => {
  let count = 0;
  const check = async () => ({ seen: `look ${++count}` });
  await t.rejects(waitFor({ ...wait, clock: fastClock(), signal: never, check }), {
    code: "TIMEOUT",
    message: "etcd has no leader after 1 s: look 4",
  });
});

t.test("the caller's own timeout error gets the same information", async (t) => {
  const cause = new Error("refused");
  const late = async ({ message, seen, cause: last }: { message: string; seen: string; cause?: unknown }) =>
    new KhwError("NOT_READY", `${message} (${seen})`, { cause: last });
  const check = async () => ({ seen: "nobody", cause });
  await t.rejects(waitFor({ ...wait, deadlineMillis: 0, clock: fastClock(), signal: never, check, late }), {
    code: "NOT_READY",
    message: "etcd has no leader after 0 s: nobody (nobody)",
    cause,
  });
});

t.test("an error in the check ends the wait, and an abort ends the wait with the reason of the signal", async (t) => {
  const failing = async (): Promise<never> => {
    throw new KhwError("IO_FAILED", "the disk is gone");
  };
  await t.rejects(waitFor({ ...wait, clock: fastClock(), signal: never, check: failing }), { code: "IO_FAILED" });
  const interrupt = new AbortController();
  setImmediate(() => interrupt.abort(new KhwError("CANCELLED", "ended by SIGINT")));
  await t.rejects(waitFor({ ...wait, signal: interrupt.signal, check: async () => ({ seen: "nothing" }) }), {
    code: "CANCELLED",
    message: "ended by SIGINT",
  });
});
