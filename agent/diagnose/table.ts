import type { Cause } from "./evidence.ts";

/** Formats the causes as the table in docs/crash-loops.md. Placeholders for values from the machine are in capitals. */
export function causeTable(causes: readonly Cause[]): string {
  const rows = new Map(causes.map((cause) => [cause.id, row(cause)]));
  return ["| cause | components | meaning | remedy |", "|---|---|---|---|", ...rows.values(), ""].join("\n");
}

function row({ id, components, message, remedy }: Cause): string {
  return `| \`${id}\` | ${components?.join(", ") ?? "all"} | ${general(message)} | ${general(remedy)} |`;
}

function general(text: string): string {
  return text
    .replace(/\{(\w+)\}/g, (_, name: string) => name.replaceAll("_", "-").toUpperCase())
    .replaceAll("|", "\\|");
}
