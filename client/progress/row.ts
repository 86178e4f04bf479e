import { truncate } from "../terminal/cut.ts";
import { elapsed } from "../terminal/time.ts";
import type { TrackProgress } from "./tally.ts";

export interface ProgressRow {
  readonly track: string;
  /** Absent before the track's first event. */
  readonly progress: TrackProgress | undefined;
  /** The current steps, each with its latest text; the newest step is last. */
  readonly working: ReadonlyMap<string, string>;
}

export interface RowOptions {
  /** The length of the longest track name, so that the columns of all rows align. */
  readonly nameWidth: number;
  readonly columns: number;
}

/** The largest share of a narrow terminal's columns that names may use. */
const mostOfName = 0.4;

/** Describes a track in progress on one line that fits the terminal's width: name, count, time and newest step. */
export function describeRow({ track, progress, working }: ProgressRow, { nameWidth, columns }: RowOptions): string {
  const width = Math.min(nameWidth, Math.max(8, Math.floor(columns * mostOfName)));
  const name = truncate(track, width).padEnd(width);
  if (progress === undefined) return truncate(`${name}  waiting`, columns);
  const { finishedSteps, totalSteps, elapsedMillis } = progress;
  const count = totalSteps === undefined ? "" : `${finishedSteps} of ${totalSteps}`;
  const parts = [name, count, elapsed(elapsedMillis), describeWork(working)];
  return truncate(parts.filter((part) => part !== "").join("  "), columns);
}

/** Returns the newest step with its text, and the number of other current steps. */
function describeWork(working: ReadonlyMap<string, string>): string {
  const newest = [...working].at(-1);
  if (newest === undefined) return "";
  const others = working.size - 1;
  return `${newest[0]}: ${newest[1]}${others === 0 ? "" : ` (and ${others} more)`}`;
}
