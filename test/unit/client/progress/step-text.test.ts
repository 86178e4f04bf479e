import t from "tap";
import { agentStepText } from "../../../../client/progress/step-text.ts";
import { createTally } from "../../../../client/progress/tally.ts";
import { type DeepPartial, type ErrorDetail, Event } from "../../../../proto/gen/khw/agent/v1/agent.ts";

const error: ErrorDetail = { code: "SERVICE_FAILED", message: "it crashes", hint: "", node: "", step: "" };

function event(kind: DeepPartial<Event>["kind"]): Event {
  return Event.fromPartial({ kind });
}

t.test("a rollback is shown from its start to its end", async (t) => {
  const finished = (rolledBack?: { error?: ErrorDetail }) =>
    agentStepText(event({ $case: "operationFinished", value: { error, rolledBack } }));
  t.match(agentStepText(event({ $case: "rollbackStarted", value: { reason: error, steps: [] } })), {
    step: "rollback",
    phase: "working",
  });
  t.match(finished({}), { step: "rollback", phase: "done", text: "the node is back in its previous state" });
  t.match(finished({ error }), { step: "rollback", phase: "failed", text: "failed: it crashes" });
  t.equal(finished(), undefined);
});

t.test("the step counts of a rollback and of a second phase start from zero", async (t) => {
  const tally = createTally(() => 0);
  const count = (kind: DeepPartial<Event>["kind"]): void =>
    tally.count({ kind: "node", node: "a", event: event(kind) });
  const steps = ["x", "y"].map((id) => ({ id, title: id }));
  count({ $case: "operationStarted", value: { holder: "", steps } });
  count({ $case: "stepFinished", value: { step: "x" } });
  t.match(tally.track("a"), { finishedSteps: 1, totalSteps: 2 });
  count({ $case: "rollbackStarted", value: { reason: error, steps: [...steps, { id: "z", title: "z" }] } });
  t.match(tally.track("a"), { finishedSteps: 0, totalSteps: 3 });
  count({ $case: "stepFinished", value: { step: "x" } });
  t.match(tally.track("a"), { finishedSteps: 1, totalSteps: 3 });
  tally.count({ kind: "begin", tracks: ["a"] });
  t.equal(tally.track("a"), undefined);
});
