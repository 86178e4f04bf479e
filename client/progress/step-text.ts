import { StepOutcome, type Event } from "../../proto/gen/khw/agent/v1/agent.ts";
import type { StepEvent } from "../../proto/step.ts";

/** The text for a step's event; undefined if the event needs no line. Every display uses the same text. */
export interface StepText {
  readonly step: string;
  readonly text: string;
  readonly phase: "working" | "progress" | "done" | "failed" | "reported";
  /** The duration of a finished step. */
  readonly millis?: number;
}

export function agentStepText({ kind }: Event): StepText | undefined {
  switch (kind?.$case) {
    case "stepStarted":
      return { step: kind.value.step, text: kind.value.drift, phase: "working" };
    case "stepProgress":
      return { step: kind.value.step, text: kind.value.text, phase: "progress" };
    case "stepFinished": {
      const { step, outcome, durationMillis, error, drift, remedy } = kind.value;
      if (remedy !== undefined) return { step, text: leftToYou(drift, remedy), phase: "reported" };
      if (outcome === StepOutcome.STEP_OUTCOME_CHANGED) return done(step, durationMillis);
      return error === undefined ? undefined : { step, text: error.message, phase: "failed" };
    }
    case "rollbackStarted":
      return { step: "rollback", text: "the node is rolling back to its previous state", phase: "working" };
    case "operationFinished": {
      const { rolledBack } = kind.value;
      if (rolledBack === undefined) return undefined;
      const { error } = rolledBack;
      return error === undefined
        ? { step: "rollback", text: "the node is back in its previous state", phase: "done" }
        : { step: "rollback", text: `failed: ${error.message}`, phase: "failed" };
    }
    case "operationStarted":
    case undefined:
      return undefined;
  }
}

export function stepText(event: StepEvent): StepText | undefined {
  const { step } = event;
  switch (event.kind) {
    case "started":
      return { step, text: event.drift.summary, phase: "working" };
    case "progress":
      return { step, text: event.text, phase: "progress" };
    case "finished": {
      const { result } = event;
      if (result.outcome === "changed") return done(step, result.millis);
      if (result.outcome === "reported") {
        return { step, text: leftToYou(result.drift.summary, result.drift.remedy), phase: "reported" };
      }
      return result.outcome === "failed" ? { step, text: result.error.message, phase: "failed" } : undefined;
    }
  }
}

/** Describes drift that khw reports but does not repair. */
export function leftToYou(drift: string, remedy: string): string {
  return `${drift}; khw does not change this: ${remedy}`;
}

function done(step: string, millis: number): StepText {
  return { step, text: doneIn([millis]), phase: "done", millis };
}

/** Returns text such as "done in 3.2 s", or "done in 3.2 to 4.1 s" for several nodes. */
export function doneIn(millis: readonly number[]): string {
  const [least, most] = [Math.min(...millis), Math.max(...millis)].map((value) => (value / 1000).toFixed(1));
  return least === most ? `done in ${least} s` : `done in ${least} to ${most} s`;
}
