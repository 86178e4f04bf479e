import { styleText } from "node:util";
import { createTwoFilesPatch, FILE_HEADERS_ONLY } from "diff";
import type { FileDifference } from "../../proto/gen/khw/agent/v1/agent.ts";

export interface UnifiedDiffOptions {
  readonly node: string;
  readonly colours: boolean;
}

/**
 * The largest number of lines that may differ. With more lines, the comparison takes too long, and nobody can read the
 * diff.
 */
const mostEdits = 1_000;

/** Returns the differences from the current to the desired text, in the format of diff -u. */
export function unifiedDiff(
  { path, found, wanted }: Pick<FileDifference, "path" | "found" | "wanted">,
  { node, colours }: UnifiedDiffOptions,
): string {
  const from = found === undefined ? "/dev/null" : path;
  const patch = createTwoFilesPatch(from, path, found ?? "", wanted, `on ${node}`, "desired", {
    headerOptions: FILE_HEADERS_ONLY,
    maxEditLength: mostEdits,
  });
  if (patch === undefined) return `${path} on ${node} differs in too many lines to show\n`;
  const lines = patch.split("\n");
  return (colours ? lines.map(paint) : lines).join("\n");
}

function paint(line: string, index: number): string {
  const style = index < 2 ? "bold" : styleOf(line);
  return style === undefined ? line : styleText(style, line, { validateStream: false });
}

function styleOf(line: string): "cyan" | "green" | "red" | undefined {
  if (line.startsWith("@@")) return "cyan";
  if (line.startsWith("+")) return "green";
  return line.startsWith("-") ? "red" : undefined;
}
