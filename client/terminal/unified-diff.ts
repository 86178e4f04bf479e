import { styleText } from "node:util";
import { createTwoFilesPatch, FILE_HEADERS_ONLY } from "diff";
import type { FileDifference } from "../../proto/gen/khw/agent/v1/agent.ts";

export interface UnifiedDiffOptions {
  readonly node: string;
  readonly colours: boolean;
}

/** Lines that may differ: what goes beyond takes long to compare, and nobody reads it. */
const mostEdits = 1_000;

/**
 * From the text that was found to the one that is wanted, as diff -u has it.
 */
export function unifiedDiff(
  { path, found, wanted }: Pick<FileDifference, "path" | "found" | "wanted">,
  { node, colours }: UnifiedDiffOptions,
): string {
  const from = found === undefined ? "/dev/null" : path;
  const patch = createTwoFilesPatch(from, path, found ?? "", wanted, `on ${node}`, "as it shall be", {
    headerOptions: FILE_HEADERS_ONLY,
    maxEditLength: mostEdits,
  });
  if (patch === undefined) return `${path} on ${node} is another text altogether\n`;
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
