import { formatError } from "../../proto/errors.ts";
import { loadBalancerTrack, type Progress, type ProgressEvent } from "./progress.ts";
import { agentStepText, type StepText, stepText } from "./step-text.ts";

/** Prints a line for each event, for logs and pipes; a step's progress is left out. */
export function plainProgress(write: (text: string) => void): Progress {
  return {
    emit: (event) => {
      const line = describe(event);
      if (line !== undefined) write(`${line}\n`);
    },
    settled: async () => {},
  };
}

function describe(event: ProgressEvent): string | undefined {
  switch (event.kind) {
    case "note":
      return event.text;
    case "begin":
      return undefined;
    case "node":
      return describeStep(event.node, agentStepText(event.event));
    case "loadBalancer":
      return describeStep(loadBalancerTrack, stepText(event.event));
    case "step":
      return describeStep(event.track, stepText(event.event));
    case "end":
      return describeEnd(event);
    case "check":
      return event.error === undefined ? `ok      ${event.title}` : `FAILED  ${event.title}: ${event.error.message}`;
  }
}

function describeStep(track: string, text: StepText | undefined): string | undefined {
  return text === undefined || text.phase === "progress" ? undefined : `${track}: ${text.step}: ${text.text}`;
}

/** How a track ended, in a line. */
export function describeEnd({ track, changed, error }: Extract<ProgressEvent, { kind: "end" }>): string {
  if (error !== undefined) return formatError(error.at({ node: track }));
  return `${track}: ${changed === 0 ? "nothing to do" : `done, ${changed} ${changed === 1 ? "step" : "steps"} applied`}`;
}
