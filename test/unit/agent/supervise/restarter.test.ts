import t from "tap";
import { createRestarter } from "../../../../agent/supervise/restarter.ts";
import { Component } from "../../../../proto/gen/khw/agent/v1/agent.ts";
import { createFakeClock } from "../../../fakes/os.ts";

t.test("the time of the next restart can be sent, though the monotonic clock has fractions", async (t) => {
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
});
