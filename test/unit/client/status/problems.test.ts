import t from "tap";
import { nodeProblems } from "../../../../client/status/problems.ts";
import { DrainReason, GetStatusResponse, OperationState } from "../../../../proto/gen/khw/agent/v1/agent.ts";

const node = "controller-0";

t.test("an interrupted operation is reported even if its record has the error that caused its rollback", async (t) => {
  const messages = (error?: { readonly code: string; readonly step: string; readonly message: string }) => {
    const operation = { id: "o", state: OperationState.OPERATION_STATE_INTERRUPTED, error };
    return nodeProblems({ node, status: GetStatusResponse.fromPartial({ operation }) })
      .filter(({ subject }) => subject === "operation")
      .map(({ message }) => message);
  };
  const stopped = "the last operation was interrupted because the agent stopped";
  t.strictSame(messages(), [stopped]);
  t.strictSame(messages({ code: "INTERRUPTED", step: "release/kubectl", message: "the agent was stopped" }), [stopped]);
  t.strictSame(messages({ code: "NOT_READY", step: "ready/kube-apiserver", message: "it does not answer" }), [
    `${stopped}, while the node was rolled back after ready/kube-apiserver: it does not answer`,
  ]);
});

t.test("a drained node is reported with the reason for the drain", async (t) => {
  const problems = (reason: DrainReason) => {
    const maintenance = { drained: true, holder: "jane", sinceUnixMillis: Date.parse("2026-01-31T12:00:00Z"), reason };
    return nodeProblems({ node, status: GetStatusResponse.fromPartial({ maintenance }) });
  };
  t.match(problems(DrainReason.DRAIN_REASON_PERSON), [
    { message: /^drained by jane at /, hint: "khw-client undrain controller-0" },
  ]);
  t.match(problems(DrainReason.DRAIN_REASON_ROLLING_UPDATE), [
    {
      message: /^drained by jane for a rolling update at /,
      hint: /^to complete the rolling update, run khw-client bootstrap;/,
    },
  ]);
});
