import { setImmediate as turn } from "node:timers/promises";
import t from "tap";
import { createRestarter } from "../../../../agent/supervise/restarter.ts";
import { KhwError } from "../../../../proto/errors.ts";
import { Component } from "../../../../proto/gen/khw/agent/v1/agent.ts";
import { createFakeClock } from "../../../fakes/os.ts";

t.test(
  "the time of the next restart can be encoded as an integer, even if the monotonic clock returns fractions",
  async (t) => {
    const ending = new AbortController();
    t.teardown(() => ending.abort());
    const planned: number[] = [];
    let monotonic = 8_000_123;
    const restarter = createRestarter({
      clock: { ...createFakeClock(), monotonic: () => (monotonic += 0.424) },
      random: () => 0.3,
      attempt: async () => true,
      planned: (at) => planned.push(at),
      failed: (error) => t.fail(String(error)),
      signal: ending.signal,
    });
    restarter.want({ kind: "down", reason: "it is stopped" });
    const [at = 0] = planned;
    t.ok(at > 0);
    const message = Component.fromPartial({ nextRestartUnixMillis: at });
    t.equal(Component.decode(Component.encode(message).finish()).nextRestartUnixMillis, at);
  },
);

t.test("an attempt without a restart lease is not counted, and is retried soon", async (t) => {
  for (const code of ["BUSY", "CREDENTIAL_INVALID"] as const) {
    const ending = new AbortController();
    t.teardown(() => ending.abort());
    const clock = createFakeClock();
    const counts: number[] = [];
    const planned: number[] = [];
    const failures: unknown[] = [];
    const restarter = createRestarter({
      clock,
      random: () => 0.5,
      attempt: async (_, count) => {
        counts.push(count);
        throw new KhwError(code, "no lease");
      },
      planned: (at) => planned.push(at),
      failed: (error) => failures.push(error),
      signal: ending.signal,
    });
    for (const attempt of [1, 2, 3]) {
      restarter.want({ kind: "hung", reason: "no answer", silent: true });
      const due = planned.findLast((at) => at !== 0) ?? 0;
      t.ok(due - clock.now() <= 5_000, `${code}: attempt ${attempt} is due within 5 s`);
      clock.advance(5_000);
      restarter.want(undefined);
      restarter.want({ kind: "hung", reason: "no answer", silent: true });
      while (counts.length < attempt) await turn();
      await turn();
    }
    t.strictSame([counts, failures.length], [[1, 1, 1], 3], code);
  }
});
