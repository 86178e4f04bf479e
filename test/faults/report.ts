/** Writes the table in docs/faults.md. */
import { readFile, writeFile } from "node:fs/promises";

import { median } from "../bench/time.ts";
import type { Mended } from "./measure.ts";

/** Returns the table. The rows are in the order of `faults`. */
export function table(faults: readonly string[], outcomes: readonly Mended[]): string {
  const rows = faults.flatMap((fault) => {
    const of = outcomes.filter((outcome) => outcome.fault === fault);
    if (of.length === 0) return [];
    const cells = [
      fault,
      String(of.length),
      ...times(of.map(({ seen }) => seen)),
      ...times(of.map(({ healthy }) => healthy)),
    ];
    return [`| ${cells.join(" | ")} |\n`];
  });
  return [
    "| fault | nodes | seen after | at most | healthy after | at most |\n",
    "|---|---:|---:|---:|---:|---:|\n",
    ...rows,
  ].join("");
}

function times(millis: readonly number[]): [median: string, longest: string] {
  return [seconds(median(millis)), seconds(Math.max(...millis))];
}

function seconds(millis: number): string {
  return millis < 1000 ? `${millis.toFixed(0)} ms` : `${(millis / 1000).toFixed(1)} s`;
}

/** Replaces the text between the markers in the document. @throws Error if the document has no markers. */
export async function replaceGenerated(document: string, text: string): Promise<void> {
  const [begin, end] = ["<!-- generated: begin -->\n", "<!-- generated: end -->\n"];
  const standing = await readFile(document, "utf8");
  const [from, to] = [standing.indexOf(begin), standing.indexOf(end)];
  if (from < 0 || to < from) throw new Error(`${document} has no ${begin.trim()} before a ${end.trim()}`);
  await writeFile(document, standing.slice(0, from + begin.length) + text + standing.slice(to));
}
