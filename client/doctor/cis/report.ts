import { toDetail } from "../../../proto/errors.ts";
import { oneLine } from "../../../proto/sanitize.ts";
import type { Colour } from "../../terminal/colour.ts";
import type { ReportOptions } from "../report.ts";
import { type CisResult, type Outcome, outcomes } from "./result.ts";
import { type CisReport, isCompliant } from "./run.ts";

/** A result, and the nodes that share it. */
export interface SharedResult extends Omit<CisResult, "node"> {
  readonly nodes: readonly string[];
}

/** Merges equal results of different nodes. Keeps the benchmark's order. */
export function shareResults(results: readonly CisResult[]): SharedResult[] {
  const groups = Map.groupBy(results, (result) => JSON.stringify({ ...result, node: "" }));
  const shared = [...groups.values()].flatMap(([first, ...others]): SharedResult[] => {
    if (first === undefined) return [];
    const { node, ...rest } = first;
    return [{ ...rest, nodes: [node, ...others.map((other) => other.node)] }];
  });
  return shared.sort((one, other) => compareIds(one.id, other.id));
}

function compareIds(one: string, other: string): number {
  return one.localeCompare(other, "en", { numeric: true });
}

const colours: Readonly<Record<Outcome, Colour>> = {
  fail: "red",
  "not run": "yellow",
  manual: "cyan",
  pass: "green",
  "not applicable": "gray",
};

/**
 * Returns the checks that failed, did not run, or need a person's decision. The counts follow. With `verbose`, returns
 * all checks.
 */
export function cisText(report: CisReport, { paint, verbose }: ReportOptions): string {
  const all = shareResults(report.results);
  const shown = outcomes.filter((outcome) => verbose || (outcome !== "pass" && outcome !== "not applicable"));
  const blocks = shown.map((outcome) =>
    all
      .filter((result) => result.outcome === outcome)
      .map((result) => lines(result, paint(colours[outcome], outcome.padEnd(7)), report.nodes.length))
      .join(""),
  );
  const errors = report.errors.map(
    ({ node = "cluster", message, hint }) =>
      `${paint("yellow", "not run")}  ${node}: ${oneLine(message)}\n${hint === undefined ? "" : indent(`fix: ${oneLine(hint)}`)}`,
  );
  return [...blocks, errors.join(""), ...summaries(report)].filter((block) => block !== "").join("\n");
}

function lines({ id, title, nodes, evidence, reason, fix }: SharedResult, word: string, all: number): string {
  const where = nodes.length === all ? "" : `${nodes.join(", ")}: `;
  const more = [
    ...(reason === undefined ? [] : [`reason: ${reason}`]),
    ...(fix === undefined ? [] : [fix.startsWith("khw.yaml: ") ? fix : `fix: ${fix}`]),
  ];
  return `${word}  ${id} ${title}: ${where}${evidence}\n${more.map(indent).join("")}`;
}

function indent(text: string): string {
  return `         ${text}\n`;
}

/** Returns a summary line for each edition. */
function summaries({ nodes, results }: CisReport): string[] {
  return [...Map.groupBy(nodes, ({ edition }) => edition)].map(([edition, group]) => {
    const names = new Set(group.map(({ node }) => node));
    const versions = [...new Set(group.map(({ version }) => version))].join(", ");
    const own = results.filter(({ node }) => names.has(node));
    const counts = outcomes.flatMap((outcome) => count(own, outcome));
    return `CIS Kubernetes Benchmark ${edition}, ${versions}, ${[...names].join(", ")}: ${counts.join(", ")}\n`;
  });
}

function count(results: readonly CisResult[], outcome: Outcome): string[] {
  const found = results.filter((result) => result.outcome === outcome);
  if (found.length === 0) return [];
  const reasoned = found.filter(({ reason }) => reason !== undefined).length;
  return [`${found.length} ${outcome}${reasoned === 0 ? "" : ` (${reasoned} with a reason)`}`];
}

/** Returns the report as a JSON object; docs/cis.md describes the format. */
export function cisDocument(report: CisReport): Record<string, unknown> {
  return {
    well: isCompliant(report),
    nodes: report.nodes,
    checks: shareResults(report.results).map(({ outcome, ...rest }) => ({ ...rest, result: outcome })),
    notRun: report.errors.map((error) => ({ node: error.node ?? "", reason: toDetail(error) })),
  };
}
