import { oneLine } from "../../proto/sanitize.ts";
import { toDetail } from "../../proto/errors.ts";
import type { Colour, Paint } from "../terminal/colour.ts";
import { type CheckResult, ranked, severities, type Severity } from "./check.ts";
import { isSound } from "./doctor.ts";

export interface ReportOptions {
  readonly paint: Paint;
  /** Whether to also list the checks that passed. */
  readonly verbose: boolean;
}

const colours: Readonly<Record<Severity, Colour>> = { error: "red", warning: "yellow", note: "cyan" };

/** Returns the findings and their remedies, worst first. The checks that did not run and the counts follow. */
export function reportText(results: readonly CheckResult[], { paint, verbose }: ReportOptions): string {
  const passed = results.filter(({ outcome }) => outcome === "passed");
  const findings = ranked(results).map(({ severity, where, subject, message, remedy }) => {
    const place = [where, subject].filter((part) => part !== "").join(": ");
    const lines = message.split("\n").join("\n         ");
    const what = `${paint(colours[severity], severity.padEnd(7))}  ${place}: ${lines}\n`;
    return remedy === "" ? what : `${what}         remedy: ${remedy}\n`;
  });
  const open = unknown(results, verbose).map(
    ([place, reason]) => `${paint("yellow", "not run")}  ${place}: ${reason}\n`,
  );
  const fine = verbose ? passed.map(({ where, title }) => `${paint("green", "passed ")}  ${where}: ${title}\n`) : [];
  const blocks = [findings, open, fine].filter((block) => block.length > 0).map((block) => block.join(""));
  return [...blocks, `${summary(results)}\n`].join("\n");
}

/**
 * Returns the checks that did not run, with the reasons. Without `verbose`, checks with the same place and reason share
 * a line.
 */
function unknown(results: readonly CheckResult[], verbose: boolean): (readonly [place: string, reason: string])[] {
  const groups = new Map<string, { where: string; reason: string; titles: string[] }>();
  for (const result of results) {
    if (result.outcome !== "not run") continue;
    const { where, title } = result;
    const reason = oneLine(result.reason.message);
    const key = JSON.stringify([where, reason, verbose ? title : ""]);
    const group = groups.get(key) ?? { where, reason, titles: [] };
    group.titles.push(title);
    groups.set(key, group);
  }
  return [...groups.values()].map(({ where, reason, titles: [first = "", ...others] }) => [
    others.length === 0 ? `${where}: ${first}` : `${where}: ${others.length + 1} checks`,
    reason,
  ]);
}

function summary(results: readonly CheckResult[]): string {
  const findings = ranked(results);
  const counted = severities.map((severity) =>
    count(findings.filter((one) => one.severity === severity).length, severity),
  );
  const passed = results.filter(({ outcome }) => outcome === "passed").length;
  const open = results.filter(({ outcome }) => outcome === "not run").length;
  const rest = open === 0 ? "" : `; ${count(open, "check")} could not run`;
  return `${count(results.length, "check")}: ${passed} passed; ${counted.join(", ")}${rest}`;
}

function count(number: number, word: string): string {
  return `${number} ${word}${number === 1 ? "" : "s"}`;
}

/** Returns the results as a JSON object for programs; docs/doctor.md describes the format. */
export function reportDocument(results: readonly CheckResult[]): Record<string, unknown> {
  return {
    well: isSound(results),
    findings: ranked(results),
    notRun: results.flatMap((result) =>
      result.outcome === "not run"
        ? [{ where: result.where, title: result.title, reason: toDetail(result.reason) }]
        : [],
    ),
    passed: results.flatMap(({ outcome, where, title }) => (outcome === "passed" ? [{ where, title }] : [])),
  };
}
