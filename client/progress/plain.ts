import { formatError } from "../../proto/errors.ts";
import { joinPlaces } from "../terminal/group-lines.ts";
import { elapsed } from "../terminal/time.ts";
import { createLineGroups, type LineGroupsOptions, type TrackLine } from "./line-groups.ts";
import { loadBalancerTrack, type Progress, type ProgressEvent } from "./progress.ts";
import { agentStepText, doneIn, type StepText, stepText } from "./step-text.ts";
import type { Tally, TrackProgress } from "./tally.ts";

/** The maximum time that a line waits for the same line about other nodes. */
const holdMillis = 1000;

export interface PlainOptions {
  readonly tally: Tally;
  readonly schedule?: LineGroupsOptions<Line>["schedule"];
}

type EndEvent = Extract<ProgressEvent, { kind: "end" }>;

type Line = TrackLine & { readonly progress: TrackProgress | undefined } & (
    | { readonly kind: "step"; readonly text: StepText }
    | { readonly kind: "end"; readonly event: EndEvent }
  );

/**
 * Prints lines for logs and pipes. Omits the progress within a step. Prints identical lines about several nodes only
 * once.
 */
export function plainProgress(write: (text: string) => void, options: PlainOptions): Progress {
  const { tally, schedule = scheduleHold } = options;
  const print = (line: string): void => write(`${line}\n`);
  const groups = createLineGroups<Line>({ print: (lines) => print(describeLines(lines)), schedule });

  const addStep = (track: string, text: StepText | undefined): void => {
    if (text === undefined || text.phase === "progress") return;
    const key = JSON.stringify([text.step, text.phase, text.millis === undefined ? text.text : ""]);
    groups.add({ kind: "step", track, subject: text.step, key, text, progress: tally.track(track) });
  };
  const end = (event: EndEvent): void => {
    const { track, changed, error, text = "" } = event;
    const progress = tally.track(track);
    if (error === undefined) {
      groups.end(track, { kind: "end", track, subject: "end", key: `end ${changed} ${text}`, event, progress });
    } else {
      groups.end(track);
      print(describeEnd(event, progress));
    }
  };

  return {
    emit: (event) => {
      switch (event.kind) {
        case "note":
          groups.flush();
          return print(describeNote(event, tally));
        case "begin":
          return groups.begin(event.tracks.filter((track) => track !== loadBalancerTrack));
        case "steps":
          return;
        case "node":
          return addStep(event.node, agentStepText(event.event));
        case "loadBalancer":
          return addStep(loadBalancerTrack, stepText(event.event));
        case "step":
          return addStep(event.track, stepText(event.event));
        case "end":
          return end(event);
        case "check":
          groups.flush();
          return print(
            event.error === undefined ? `ok      ${event.title}` : `FAILED  ${event.title}: ${event.error.message}`,
          );
      }
    },
    settled: async () => groups.flush(),
  };
}

function scheduleHold(callback: () => void): () => void {
  const timer = setTimeout(callback, holdMillis);
  return () => clearTimeout(timer);
}

/** Describes a group of lines in one line. The lines differ only in their tracks, times and counts. */
function describeLines(lines: readonly Line[]): string {
  const [first] = lines;
  if (first === undefined) return "";
  const places = joinPlaces(lines.map(({ track }) => track));
  if (first.kind === "end") return describeEnd({ ...first.event, track: places }, slowest(lines));
  const millis = lines.flatMap((line) => (line.kind === "step" ? (line.text.millis ?? []) : []));
  const text = millis.length > 0 ? `${doneIn(millis)}${describeCounts(lines)}` : first.text.text;
  return `${places}: ${first.text.step}: ${text}`;
}

/** Returns text such as " (12 of 43, 1 min 4 s)"; empty until the number of steps is known. */
function describeCounts(lines: readonly Line[]): string {
  const last = slowest(lines);
  if (last?.totalSteps === undefined) return "";
  const finished = lines.flatMap(({ progress }) => progress?.finishedSteps ?? []);
  const [least, most] = [Math.min(...finished), Math.max(...finished)];
  return ` (${least === most ? least : `${least} to ${most}`} of ${last.totalSteps}, ${elapsed(last.elapsedMillis)})`;
}

function slowest(lines: readonly Line[]): TrackProgress | undefined {
  const known = lines.flatMap(({ progress }) => progress ?? []);
  return known.toSorted((one, other) => other.elapsedMillis - one.elapsedMillis)[0];
}

/** Describes the result of a track: its error, its own text, or the number of changed steps. */
export function describeEnd({ track, changed, error, text }: EndEvent, progress: TrackProgress | undefined): string {
  if (error !== undefined) return formatError(error.at({ node: track }));
  if (text !== undefined) return `${track}: ${text}`;
  if (changed === 0) return `${track}: nothing to do`;
  const time = progress === undefined ? "" : ` in ${elapsed(progress.elapsedMillis)}`;
  return `${track}: done, ${changed} ${changed === 1 ? "step" : "steps"} applied${time}`;
}

/** Returns the text of a note. Adds the total time to the final note. */
export function describeNote({ text, final }: Extract<ProgressEvent, { kind: "note" }>, tally: Tally): string {
  return final === true ? `${text} (total time: ${elapsed(tally.elapsedMillis())})` : text;
}
