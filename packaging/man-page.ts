import { readFileSync } from "node:fs";
import { type Command, Help, type Option } from "commander";
import type { CommandSpec } from "../client/cli/command.ts";
import { commands } from "../client/cli/command-table.ts";
import { createProgram } from "../client/cli/program.ts";
import { flagNames } from "../client/config/flags.ts";
import { schema } from "../client/config/schema.ts";
import { type PlacedSetting, settingsOf } from "../client/config/setting.ts";

const template = `${import.meta.dirname}/khw-client.1.in`;
const changelog = `${import.meta.dirname}/debian/changelog`;

const help = new Help();

/** A context that produces no output. The man page only needs the program's tables. */
const silentContext = {
  write: () => {},
  warn: () => {},
  terminal: false,
  env: {},
  signal: new AbortController().signal,
};

/**
 * Returns the man page of khw-client: the template, filled with the commands, options and settings from the program's
 * tables.
 */
export function manPage(): string {
  const program = createProgram(silentContext, { version: "", done: () => {} });
  const parts: Readonly<Record<string, string>> = {
    "@HEADING@": heading(readFileSync(changelog, "utf8")),
    "@COMMANDS@": commands.map((spec) => commandPart(spec, findCommand(program, spec.path))).join("\n"),
    "@OPTIONS@": help.visibleOptions(program).map(optionPart).join("\n"),
    "@SETTINGS@": settingsOf(schema).map(settingPart).join("\n"),
  };
  return readFileSync(template, "utf8").replaceAll(/^@\w+@$/gm, (name) => {
    const part = parts[name];
    if (part === undefined) throw new TypeError(`${template}: there is no ${name}`);
    return part;
  });
}

/** Returns the heading with the version and date of the newest release in Debian's changelog. */
function heading(text: string): string {
  const [, version] = /^\S+ \((.+?)\)/.exec(text) ?? [];
  const [, date] = /^ -- .+>\s+(.+)$/m.exec(text) ?? [];
  if (version === undefined || date === undefined) throw new TypeError(`${changelog}: the newest release has no date`);
  return `.TH KHW\\-CLIENT 1 "${new Date(date).toISOString().slice(0, 10)}" "khw ${version}" "User Commands"`;
}

function findCommand(program: Command, path: readonly string[]): Command {
  return path.reduce((parent, name) => {
    const child = parent.commands.find((command) => command.name() === name);
    if (child === undefined) throw new TypeError(`there is no command ${path.join(" ")}`);
    return child;
  }, program);
}

function commandPart({ path, examples = [] }: CommandSpec, command: Command): string {
  const settings = flagNames();
  const visible = command.options.filter(({ hidden }) => !hidden);
  const [own, flags] = [
    visible.filter(({ long = "" }) => !settings.has(long) && long !== "--help-all"),
    visible.filter(({ long = "" }) => settings.has(long)),
  ];
  const usage = help
    .commandUsage(command)
    .replace(`khw-client ${path.join(" ")}`, "")
    .trim();
  return [
    `.SS ${quote(path.join(" "))}`,
    `\\fBkhw\\-client ${escape(path.join(" "))}\\fR ${escape(usage)}`,
    ".PP",
    paragraph(command.description()),
    ...command.registeredArguments.map((argument) =>
      item(`\\fI${escape(argument.name())}\\fR`, help.argumentDescription(argument)),
    ),
    ...own.map(optionPart),
    ...(flags.length === 0 ? [] : [".PP", `Settings: ${flags.map(({ long = "" }) => `\\%${bold(long)}`).join(", ")}.`]),
    ...(examples.length === 0 ? [] : [".PP", "Examples:", ".PP", ".EX", ...examples.map(example), ".EE"]),
  ].join("\n");
}

function optionPart(option: Option): string {
  return item(boldFlags(option.flags), help.optionDescription(option));
}

/** Describes an option, its key in khw.yaml, and its default. */
function settingPart({ path, setting }: PlacedSetting): string {
  const { flag, help: text, default: preset } = setting;
  const flags = flag.value === undefined ? flag.name : `${flag.name} <${flag.value}>`;
  const shown = typeof preset === "object" ? "" : ` (default: ${String(preset)})`;
  return item(`${boldFlags(flags)} (${escape(path.join("."))})`, `${text}${shown}`);
}

function item(term: string, description: string): string {
  return [".TP", term, paragraph(description === "" ? "See above." : description)].join("\n");
}

/** Formats flags in bold, and the names of values in italics. */
function boldFlags(flags: string): string {
  return flags
    .split(/(<.*>)/)
    .filter((part) => part !== "")
    .map((part) => (part.startsWith("<") ? `\\fI${escape(part.slice(1, -1))}\\fR` : bold(part)))
    .join("");
}

function bold(text: string): string {
  return `\\fB${escape(text)}\\fR`;
}

function quote(text: string): string {
  return `"${escape(text)}"`;
}

function example(line: string): string {
  return `  ${escape(line)}`;
}

/** Puts each sentence on a separate line, as is usual in roff. */
function paragraph(text: string): string {
  return text
    .split(/(?<=[.:]) (?=[A-Z])/)
    .map((sentence) => escape(sentence).replace(/^([.'])/, "\\&$1"))
    .join("\n");
}

/** Escapes characters that roff interprets as commands or prints differently. */
function escape(text: string): string {
  return text.replaceAll(/[\\\-'`^~"]/g, (character) => roffNames[character] ?? character);
}

const roffNames: Readonly<Record<string, string>> = {
  "\\": "\\(rs",
  "-": "\\-",
  "'": "\\(aq",
  "`": "\\(ga",
  "^": "\\(ha",
  "~": "\\(ti",
  '"': "\\(dq",
};
