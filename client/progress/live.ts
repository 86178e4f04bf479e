import { formatError } from "../../proto/errors.ts";
import type { Context } from "../terminal/context.ts";
import { groupLines, type PlacedLine } from "../terminal/group-lines.ts";
import { describeEnd, describeNote } from "./plain.ts";
import { loadBalancerTrack, type Progress, type ProgressEvent } from "./progress.ts";
import { describeRow } from "./row.ts";
import { agentStepText, type StepText, stepText } from "./step-text.ts";
import type { Tally } from "./tally.ts";

type EndEvent = Extract<ProgressEvent, { kind: "end" }>;

/** A row of the live display, which shows the current steps of a track, and finally the track's result. */
interface LiveRow {
  readonly working: Map<string, string>;
  readonly show: (text: string) => void;
  readonly end: (event: EndEvent) => void;
}

/** The number of columns that a row cannot use: the columns of Listr's spinner, and a free column at the end. */
const reservedColumns = 3;
const usualColumns = 80;
/** The interval at which the elapsed times in the rows are redrawn. */
const drawMillis = 1000;

/** Shows a row for each track on a terminal, and redraws the rows in place. */
export async function liveProgress({ write, size }: Pick<Context, "write" | "size">, tally: Tally): Promise<Progress> {
  const { Listr } = await import("listr2");
  const rows = new Map<string, LiveRow>();
  let drawn: Promise<unknown> = Promise.resolve();
  /** Lines that stay on the terminal after the rows disappear. */
  const reports: PlacedLine[] = [];

  const draw = (track: string, { working, show }: LiveRow): void => {
    const nameWidth = Math.max(...[...rows.keys()].map(({ length }) => length));
    const columns = (size?.().columns ?? usualColumns) - reservedColumns;
    show(describeRow({ track, progress: tally.track(track), working }, { nameWidth, columns }));
  };

  const begin = (tracks: readonly string[]): void => {
    const list = new Listr(
      tracks.map((track) => {
        const ended = Promise.withResolvers<EndEvent>();
        return {
          title: track,
          task: async (_: unknown, task: { title: string }) => {
            rows.set(track, { working: new Map(), show: (text) => (task.title = text), end: ended.resolve });
            const end = await ended.promise;
            rows.delete(track);
            task.title = describeEnd(end, tally.track(track));
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
    const timer = setInterval(() => {
      for (const [track, row] of rows) draw(track, row);
    }, drawMillis);
    drawn = list.run().finally(() => clearInterval(timer));
  };

  const step = (track: string, text: StepText | undefined): void => {
    if (text?.phase === "reported") reports.push({ place: track, text: `${text.step}: ${text.text}` });
    const row = rows.get(track);
    if (row === undefined || text === undefined) return;
    const [line = ""] = text.text.split("\n", 1);
    if (text.phase === "working" || text.phase === "progress") row.working.set(text.step, line);
    else row.working.delete(text.step);
    draw(track, row);
  };

  return {
    emit: (event) => {
      switch (event.kind) {
        case "note":
          return write(`${describeNote(event, tally)}\n`);
        case "begin":
          return begin(event.tracks);
        case "steps":
          return;
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
      for (const report of groupLines(reports.splice(0))) write(`${report}\n`);
    },
  };
}
