/** Stores the results of points as JSON lines, so that a stopped run can continue. */
import { appendFile, mkdir, readFile } from "node:fs/promises";
import { dirname } from "node:path";

import type { Point } from "./points.ts";
import type { Ended } from "./running.ts";
import { isErrno } from "../../proto/errno.ts";

/**
 * The result of a point. `missed`: the victim was not running, so the point proves nothing. `failed`: the command never
 * succeeded, or the testbed failed.
 */
export type Verdict = "identical" | "differs" | "missed" | "failed";

/** A line of the file. */
export interface Result extends Point {
  readonly verdict: Verdict;
  /** The last event before the kill. */
  readonly killedAfter: string;
  readonly runs: readonly Ended[];
  /** The duration of the whole point in seconds, including the boot, all runs and the comparison. */
  readonly seconds: number;
  /** The paths that differ, the violated properties, and the reason why a point failed. */
  readonly found: readonly string[];
  readonly seed: number;
  readonly commit: string;
  readonly at: string;
}

/** Returns all results in the file, oldest first, or an empty list if the file does not exist. */
export async function readResults(path: string): Promise<Result[]> {
  const text = await readFile(path, "utf8").catch((error: unknown) => {
    if (isErrno(error, "ENOENT")) return "";
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

/** Returns the last result of each point that ran with this seed, keyed by the point's number. */
export function lastResults(results: readonly Result[], seed: number): ReadonlyMap<number, Result> {
  return new Map(results.filter((result) => result.seed === seed).map((result) => [result.number, result]));
}
