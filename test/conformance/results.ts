/** Saves the test results in a file during a run, so that the next run can continue after an interruption. */
import { appendFile, readFile, rm } from "node:fs/promises";
import { join } from "node:path";

import { isErrno } from "../../proto/errno.ts";
import type { Outcome } from "./outcome.ts";

/** A file with the results of a run. */
export interface Results {
  /** Returns the latest result of each test so far. */
  all(): readonly Outcome[];
  /** Adds results to the file. */
  add(outcomes: readonly Outcome[]): Promise<void>;
}

/** Opens the results in the folder. With `resume`, keeps the results of tests that passed in earlier runs. */
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
    // A crash can truncate the last line, which then has no line break.
    const lines = (await readFile(file, "utf8")).split("\n").slice(0, -1);
    return lines.map((line): Outcome => JSON.parse(line));
  } catch (error) {
    if (isErrno(error, "ENOENT")) return [];
    throw error;
  }
}
