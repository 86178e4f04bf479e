/** The results of points, kept as JSON lines so that a run can be stopped and go on. */
import { appendFile, mkdir, readFile } from "node:fs/promises";
import { dirname } from "node:path";

import type { Point } from "./points.ts";
import type { Ended } from "./run.ts";

/**
 * How a point ended. `missed`: there was nothing to kill, so it shows nothing. `failed`: the command never ended well, or the testbed
 * failed.
 */
export type Verdict = "identical" | "differs" | "missed" | "failed";

/** A line of the file. */
export interface Result extends Point {
  readonly verdict: Verdict;
  /** The last event before the kill. */
  readonly killedAfter: string;
  readonly runs: readonly Ended[];
  /** Of the whole point: booting, all runs, comparing. */
  readonly seconds: number;
  /** Paths that differ, properties that do not hold, and why a point failed. */
  readonly found: readonly string[];
  readonly seed: number;
  readonly commit: string;
  readonly at: string;
}

/** All results in the file, the oldest first; none where there is no file. */
export async function readResults(path: string): Promise<Result[]> {
  const text = await readFile(path, "utf8").catch((error: NodeJS.ErrnoException) => {
    if (error.code === "ENOENT") return "";
    throw error;
  });
  return text
    .split("\n")
    .filter((line) => line !== "")
    .map((line): Result => JSON.parse(line));
}

export async function addResult(path: string, result: Result): Promise<void> {
  await mkdir(dirname(path), { recursive: true });
  await appendFile(path, `${JSON.stringify(result)}\n`);
}

/** The last result of each point of that seed, by number. */
export function lastResults(results: readonly Result[], seed: number): ReadonlyMap<number, Result> {
  return new Map(results.filter((result) => result.seed === seed).map((result) => [result.number, result]));
}
