import { type KhwError, toDetail } from "../../proto/errors.ts";
import type { StepEvent } from "../../proto/step.ts";
import type { Progress, ProgressEvent } from "./progress.ts";
import { type Tally, trackOf } from "./tally.ts";

/** Prints one JSON object per line, for programs. docs/output.md documents the format. */
export function jsonProgress(write: (text: string) => void, tally: Tally): Progress {
  return {
    emit: (event) => {
      // The track's other events contain the number of steps, so this event is not printed.
      if (event.kind === "steps") return;
      const track = trackOf(event);
      const { finishedSteps, totalSteps } = (track === undefined ? undefined : tally.track(track)) ?? {};
      const counts = totalSteps === undefined ? {} : { finishedSteps, totalSteps };
      const times = { time: new Date().toISOString(), elapsedMillis: tally.elapsedMillis() };
      write(`${JSON.stringify({ ...times, ...toJson(event), ...counts })}\n`);
    },
    settled: async () => {},
  };
}

function toJson(event: Exclude<ProgressEvent, { kind: "steps" }>): Record<string, unknown> {
  switch (event.kind) {
    case "note":
    case "begin":
      return event;
    case "node": {
      const { kind } = event.event;
      return { kind: "node", node: event.node, event: kind?.$case, ...kind?.value };
    }
    case "loadBalancer":
      return { kind: "loadBalancer", ...stepJson(event.event) };
    case "step":
      return { kind: "step", track: event.track, ...stepJson(event.event) };
    case "end":
    case "check":
      return { ...event, ...errorJson(event.error) };
  }
}

function stepJson(event: StepEvent): Record<string, unknown> {
  switch (event.kind) {
    case "started":
      return { event: "stepStarted", step: event.step, drift: event.drift.summary };
    case "progress":
      return { event: "stepProgress", step: event.step, text: event.text };
    case "finished": {
      const { outcome, millis } = event.result;
      const finished = { event: "stepFinished", step: event.step, outcome, durationMillis: millis };
      if (event.result.outcome === "reported") {
        const { summary: drift, remedy } = event.result.drift;
        return { ...finished, drift, remedy };
      }
      return event.result.outcome === "failed" ? { ...finished, ...errorJson(event.result.error) } : finished;
    }
  }
}

function errorJson(error: KhwError | undefined): Record<string, unknown> {
  return error === undefined ? {} : { error: toDetail(error) };
}
