/** Keeps the results of the tests in a file while a run goes on, so that the next run can go on after an interruption. */
import { appendFile, readFile, rm } from "node:fs/promises";
import { join } from "node:path";

import { isErrno } from "../../proto/errno.ts";
import type { Outcome } from "./outcome.ts";

/** The results of a run in a file. */
export interface Results {
  /** Returns the results of all tests so far; of a test that ran again, the last one. */
  all(): readonly Outcome[];
  /** Adds results to the file. */
  add(outcomes: readonly Outcome[]): Promise<void>;
}

/** Opens the results in the folder. With `resume`, the results begin with the tests that have passed before. */
export async function openResults(folder: string, { resume }: { readonly resume: boolean }): Promise<Results> {
  const file = join(folder, "results.jsonl");
  const outcomes = new Map<string, Outcome>();
  if (resume)
    for (const outcome of await saved(file)) if (outcome.state === "passed") outcomes.set(outcome.name, outcome);
  await rm(file, { force: true });
  const add = async (added: readonly Outcome[]): Promise<void> => {
    for (const outcome of added) outcomes.set(outcome.name, outcome);
    await appendFile(file, added.map((outcome) => `${JSON.stringify(outcome)}\n`).join(""));
  };
  await add([...outcomes.values()]);
  return { all: () => [...outcomes.values()], add };
}

async function saved(file: string): Promise<readonly Outcome[]> {
  try {
    // A crash can cut off the last line, which then has no end.
    const lines = (await readFile(file, "utf8")).split("\n").slice(0, -1);
    return lines.map((line): Outcome => JSON.parse(line));
  } catch (error) {
    if (isErrno(error, "ENOENT")) return [];
    throw error;
  }
}
