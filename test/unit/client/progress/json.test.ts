import t from "tap";
import { jsonProgress } from "../../../../client/progress/json.ts";
import type { ProgressEvent } from "../../../../client/progress/progress.ts";
import { createTally } from "../../../../client/progress/tally.ts";
import { Event, StepOutcome } from "../../../../proto/gen/khw/agent/v1/agent.ts";

t.test("each event is printed as one line with its time, and the events of a track include its counts", async (t) => {
  let millis = 0;
  let out = "";
  const tally = createTally(() => millis);
  const progress = jsonProgress((text) => (out += text), tally);
  const agentEvent = (kind: Parameters<typeof Event.fromPartial>[0]["kind"]): ProgressEvent => ({
    kind: "node",
    node: "a",
    event: Event.fromPartial({ kind }),
  });
  const events: readonly ProgressEvent[] = [
    { kind: "begin", tracks: ["a", "load balancer"] },
    agentEvent({ $case: "operationStarted", value: { holder: "jane", steps: [{ id: "x", title: "x" }] } }),
    agentEvent({ $case: "stepFinished", value: { step: "x", outcome: StepOutcome.STEP_OUTCOME_UNCHANGED } }),
    { kind: "steps", track: "load balancer", total: 8 },
    { kind: "loadBalancer", event: { kind: "started", step: "target-pool", drift: { summary: "does not exist" } } },
    { kind: "end", track: "a", changed: 0 },
    { kind: "note", text: "done", final: true },
  ];
  for (const event of events) {
    millis += 500;
    tally.count(event);
    progress.emit(event);
  }
  const lines: Record<string, unknown>[] = out
    .trim()
    .split("\n")
    .map((line) => JSON.parse(line));
  for (const { time } of lines) t.match(time, /^\d{4}-\d{2}-\d{2}T/);
  t.match(lines, [
    { kind: "begin", tracks: ["a", "load balancer"], elapsedMillis: 500 },
    { kind: "node", event: "operationStarted", finishedSteps: 0, totalSteps: 1, elapsedMillis: 1000 },
    { kind: "node", event: "stepFinished", step: "x", finishedSteps: 1, totalSteps: 1 },
    { kind: "loadBalancer", event: "stepStarted", drift: "does not exist", finishedSteps: 0, totalSteps: 8 },
    { kind: "end", track: "a", changed: 0, finishedSteps: 1, totalSteps: 1 },
    { kind: "note", text: "done", elapsedMillis: 3500 },
  ]);
  t.equal(lines.length, 6, "the number of steps is not printed as a separate line");
});
