import { toDetail } from "../../proto/errors.ts";
import { type Event, StepOutcome } from "../../proto/gen/khw/agent/v1/agent.ts";
import type { StepEvent, StepResult } from "../../proto/step.ts";

/** Converts a step's event to the wire format. */
export function toWire(event: StepEvent): NonNullable<Event["kind"]> {
  switch (event.kind) {
    case "started":
      return { $case: "stepStarted", value: { step: event.step, drift: event.drift.summary } };
    case "progress":
      return { $case: "stepProgress", value: { step: event.step, text: event.text } };
    case "finished":
      return { $case: "stepFinished", value: { step: event.step, ...resultToWire(event.result) } };
  }
}

function resultToWire(result: StepResult) {
  const { millis: durationMillis } = result;
  const none = { durationMillis, drift: "", error: undefined };
  switch (result.outcome) {
    case "unchanged":
      return { ...none, outcome: StepOutcome.STEP_OUTCOME_UNCHANGED };
    case "reported": {
      const { summary: drift, remedy } = result.drift;
      return { ...none, outcome: StepOutcome.STEP_OUTCOME_UNCHANGED, drift, remedy };
    }
    case "changed":
      return { ...none, outcome: StepOutcome.STEP_OUTCOME_CHANGED, drift: result.drift.summary };
    case "failed":
      return {
        ...none,
        outcome: StepOutcome.STEP_OUTCOME_FAILED,
        drift: result.drift?.summary ?? "",
        error: toDetail(result.error),
      };
    case "skipped":
      return { ...none, outcome: StepOutcome.STEP_OUTCOME_SKIPPED };
  }
}
