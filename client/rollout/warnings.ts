import { formatError, KhwError } from "../../proto/errors.ts";
import { joinPlaces } from "../terminal/group-lines.ts";

/**
 * Describes the warnings from many nodes without repetition. Nodes with the same warning are listed together. If only
 * the figures differ, each node has a line, and the remedy is printed once.
 */
export function describeWarnings(warnings: readonly KhwError[]): string[] {
  const groups = Map.groupBy(warnings, ({ code, step, hint, message }) =>
    JSON.stringify([code, step, hint, message.replaceAll(/\d+(\.\d+)?/g, "0")]),
  );
  return [...groups.values()].map(describeGroup);
}

function describeGroup(group: readonly KhwError[]): string {
  const [first, ...others] = group;
  if (first === undefined) return "";
  if (others.length === 0) return formatError(first);
  const { code, message, hint, step } = first;
  const node = joinPlaces(group.map((one) => one.node ?? "?"));
  if (others.every((other) => other.message === message))
    return formatError(new KhwError(code, message, { hint, step, node }));
  const lines = group.map((one) => `  ${one.node ?? "?"}: ${one.message}`);
  return formatError(
    new KhwError(code, `the same problem, with different figures:\n${lines.join("\n")}`, { hint, step, node }),
  );
}
