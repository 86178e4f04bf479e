import { type CisCheck, checksIn } from "./check.ts";
import { type Edition, editions, firstMinors } from "./edition.ts";
import type { CisResult } from "./result.ts";
import { cisChecks } from "./table.ts";

/** Returns the table of editions for docs/cis.md. A test checks that the page contains the current tables. */
export function editionTable(): string {
  const rows = editions.map((edition, index) => {
    const [first, next] = [firstMinors[edition], editions[index + 1]];
    const last = next === undefined ? undefined : firstMinors[next] - 1;
    const releases =
      last === undefined ? `1.${first} and later` : first === last ? `1.${first}` : `1.${first} to 1.${last}`;
    return [edition, releases, String(checksIn(edition, cisChecks).length)];
  });
  return table(["CIS", "Kubernetes", "checks"], rows);
}

/**
 * Returns a table with a row for each check. A row shows the check's number in each edition. Editions with the same
 * numbers share a column.
 */
export function checkTable(): string {
  const ids = new Map(editions.map((edition) => [edition, numbersIn(edition)]));
  const columns = [...Map.groupBy(editions, (edition) => JSON.stringify([...(ids.get(edition)?.values() ?? [])]))];
  const groups = columns.map(([, group]) => group);
  const rows = cisChecks.map((check) => [
    check.title,
    ...groups.map(([first]) => (first === undefined ? "" : (ids.get(first)?.get(check) ?? ""))),
    check.reason?.why ?? "",
  ]);
  return table(["check", ...groups.map((group) => group.join(", ")), "why khw fails it on purpose"], rows);
}

function numbersIn(edition: Edition): ReadonlyMap<CisCheck, string> {
  const numbered = new Map(checksIn(edition, cisChecks).map(({ id, title, condition }) => [condition, { id, title }]));
  return new Map(cisChecks.map((check) => [check, numbered.get(check.condition)?.id ?? ""]));
}

/** Returns the table of one machine's results. */
export function resultTable(results: readonly CisResult[]): string {
  return table(
    ["number", "check", "result", "evidence", "reason or fix"],
    results.map(({ id, title, outcome, evidence, reason, fix }) => [
      id,
      title,
      outcome,
      evidence,
      [
        ...(reason === undefined ? [] : [reason]),
        ...(fix === undefined ? [] : [`\`${fix.replace(/^khw\.yaml: /, "")}\``]),
      ].join("; "),
    ]),
  );
}

function table(head: readonly string[], rows: readonly (readonly string[])[]): string {
  const line = (cells: readonly string[]): string =>
    `| ${cells.map((cell) => cell.replaceAll("|", "\\|")).join(" | ")} |`;
  return [line(head), `|${head.map(() => "---|").join("")}`, ...rows.map(line)].join("\n");
}
