/** Formats the summary of a run, for a terminal and for docs/crash-suite.md. */
import { victims } from "./points.ts";
import type { Result, Verdict } from "./results.ts";

const verdicts: readonly Verdict[] = ["identical", "differs", "failed", "missed"];

/**
 * Returns a Markdown table with a row for each victim and a row for all victims. The tested commits follow the table.
 */
export function summary(results: readonly Result[]): string {
  const row = (name: string, of: readonly Result[]): string => {
    const counts = verdicts.map((verdict) => of.filter((result) => result.verdict === verdict).length);
    const seconds = of.map((result) => result.seconds).toSorted((a, b) => a - b);
    const median = seconds[Math.floor(seconds.length / 2)] ?? 0;
    return `| ${[name, of.length, ...counts, `${median.toFixed(0)} s`].join(" | ")} |\n`;
  };
  const used = victims.filter((victim) => results.some((result) => result.victim === victim));
  return [
    `| killed | points | ${verdicts.join(" | ")} | median time |\n`,
    `|---|---:|${verdicts.map(() => "---:|").join("")}---:|\n`,
    ...used.map((victim) =>
      row(
        victim,
        results.filter((result) => result.victim === victim),
      ),
    ),
    row("all", results),
    `\n${commits(results)}\n`,
  ].join("");
}

/** Formats a line for a finished point, followed by the differences that the point left. */
export function describe(result: Result): string {
  const { number, victim, node, start, after, delay, killedAfter, runs, seconds, verdict, found } = result;
  const killed = victim === "client" ? victim : `${victim} of ${node}`;
  const codes = runs.map(({ code }) => code).join(", ");
  const where = `${delay} ms after event ${after} (${killedAfter})`;
  const headline = `point ${number}: ${killed} killed ${where}, ${start}; exit codes ${codes || "none"}; ${seconds.toFixed(0)} s: ${verdict}\n`;
  return headline + found.map((each) => each.replace(/^/gm, "    ").trimEnd() + "\n").join("");
}

function commits(results: readonly Result[]): string {
  const counts = new Map<string, number>();
  for (const { commit } of results) counts.set(commit, (counts.get(commit) ?? 0) + 1);
  return `Points by commit: ${[...counts].map(([commit, count]) => `${commit} ${count}`).join(", ")}.`;
}
