import { stringify } from "yaml";
import { schema } from "./schema.ts";
import { type Group, isGroup, type Setting, settingsOf } from "./setting.ts";
import type { Data } from "./value.ts";

const width = 100;

/**
 * Returns a khw.yaml with all defaults and a comment for each of them. Loading this file has the same effect as loading
 * no khw.yaml.
 */
export function defaultYaml(): string {
  return [...comment(schema.title, ""), "", ...groupYaml(schema, "")].join("\n") + "\n";
}

function groupYaml(group: Group, indent: string): string[] {
  return Object.entries(group.keys).flatMap(([key, member], index) => {
    const gap = index > 0 && (indent === "" || isGroup(member)) ? [""] : [];
    if (isGroup(member)) {
      return [...gap, ...comment(member.title, indent), `${indent}${key}:`, ...groupYaml(member, `${indent}  `)];
    }
    return [...gap, ...comment(member.help, indent), ...settingYaml(key, member, indent)];
  });
}

function settingYaml(key: string, setting: Setting<unknown>, indent: string): string[] {
  // If the value were explicit, a different profile would not change the setting.
  if (setting.default === null || setting.production !== undefined) return [`${indent}${key}:`];
  return stringify({ [key]: setting.default })
    .trimEnd()
    .split("\n")
    .map((line) => indent + line);
}

function comment(text: string, indent: string): string[] {
  return wrap(text, width - indent.length - 2).map((line) => `${indent}# ${line}`);
}

function wrap(text: string, columns: number): string[] {
  const lines: string[] = [];
  for (const word of text.split(" ")) {
    const last = lines.at(-1);
    if (last === undefined || last.length + 1 + word.length > columns) lines.push(word);
    else lines[lines.length - 1] = `${last} ${word}`;
  }
  return lines;
}

/** Returns all keys, flags and defaults as Markdown, for the table in docs/configuration.md. */
export function referenceMarkdown(): string {
  const rows = settingsOf(schema).map(({ path, setting: { help, flag, default: value, production } }) => {
    const spelling = flag.value === undefined ? flag.name : `${flag.name} <${flag.value}>`;
    const cells = [code(path.join(".")), code(spelling), showDefault(value, production), help];
    return `| ${cells.map((cell) => cell.replaceAll("|", "\\|")).join(" | ")} |`;
  });
  return ["| key | flag | default | meaning |", "|---|---|---|---|", ...rows].join("\n") + "\n";
}

function showDefault(value: Data, production?: Data): string {
  if (production !== undefined) return `${showDefault(value)}; production: ${showDefault(production)}`;
  if (value === null) return "";
  return code(typeof value === "object" ? JSON.stringify(value) : String(value));
}

function code(text: string): string {
  return `\`${text}\``;
}
