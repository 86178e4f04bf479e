import { formatError } from "../../proto/errors.ts";
import { describeEnd } from "./plain.ts";
import { loadBalancerTrack, type Progress, type ProgressEvent } from "./progress.ts";
import { agentStepText, type StepText, stepText } from "./step-text.ts";

type EndEvent = Extract<ProgressEvent, { kind: "end" }>;

/** A row of the live display: the current steps of a track, and its end. */
interface Row {
  readonly working: Map<string, string>;
  readonly show: (text: string) => void;
  readonly end: (event: EndEvent) => void;
}

/** Shows a row for each track, redrawn in place. For terminals. */
export async function liveProgress(write: (text: string) => void): Promise<Progress> {
  const { Listr } = await import("listr2");
  const rows = new Map<string, Row>();
  let drawn: Promise<unknown> = Promise.resolve();
  /** Lines that stay when the rows are gone. */
  const reports: string[] = [];

  const begin = (tracks: readonly string[]): void => {
    const list = new Listr(
      tracks.map((track) => {
        const ended = Promise.withResolvers<EndEvent>();
        return {
          title: track,
          task: async (_: unknown, task: { title: string; output: string }) => {
            rows.set(track, { working: new Map(), show: (text) => (task.output = text), end: ended.resolve });
            const end = await ended.promise;
            task.title = describeEnd(end);
            if (end.error !== undefined) throw end.error;
          },
        };
      }),
      {
        concurrent: true,
        exitOnError: false,
        registerSignalListeners: false,
        rendererOptions: { showErrorMessage: false },
      },
    );
    drawn = list.run();
  };

  const step = (track: string, text: StepText | undefined): void => {
    if (text?.phase === "reported") reports.push(`${track}: ${text.step}: ${text.text}\n`);
    const row = rows.get(track);
    if (row === undefined || text === undefined) return;
    const [line = ""] = text.text.split("\n", 1);
    if (text.phase === "working" || text.phase === "progress") row.working.set(text.step, line);
    else row.working.delete(text.step);
    row.show(describeWork(row.working));
  };

  return {
    emit: (event) => {
      switch (event.kind) {
        case "note":
          return write(`${event.text}\n`);
        case "begin":
          return begin(event.tracks);
        case "node":
          return step(event.node, agentStepText(event.event));
        case "loadBalancer":
          return step(loadBalancerTrack, stepText(event.event));
        case "step":
          return step(event.track, stepText(event.event));
        case "end":
          return rows.get(event.track)?.end(event);
        case "check":
          return write(
            event.error === undefined ? `✔ ${event.title}\n` : `✖ ${event.title}: ${formatError(event.error)}\n`,
          );
      }
    },
    settled: async () => {
      await drawn;
      for (const report of reports.splice(0)) write(report);
    },
  };
}

/** Returns the newest step in full and the number of the others: a single line at any width. */
function describeWork(working: ReadonlyMap<string, string>): string {
  const newest = [...working].at(-1);
  if (newest === undefined) return "";
  const others = working.size - 1;
  return `${newest[0]}: ${newest[1]}${others === 0 ? "" : ` (and ${others} more)`}`;
}
