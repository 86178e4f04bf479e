import type { Command, Option } from "commander";

/** The data about a command that shell completion needs. */
export interface CompletedCommand {
  /** The words that select the command, for example ["lb", "create"]; empty for the program itself. */
  readonly path: readonly string[];
  readonly summary: string;
  /** The names of the command's subcommands, or the choices for its argument. */
  readonly words: readonly CompletedWord[];
  /** Whether the command accepts node names. The shell reads them from khw.yaml when it completes a name. */
  readonly nodes: boolean;
  readonly options: readonly CompletedOption[];
}

export interface CompletedWord {
  readonly word: string;
  readonly summary: string;
}

export interface CompletedOption {
  /** The option's name, with its dashes. */
  readonly name: string;
  readonly summary: string;
  /** The kind of value that the option accepts: no value, one of a few words, a file or folder, or any text. */
  readonly value: "none" | "path" | "any" | readonly string[];
}

/** Returns the program and all of its commands, each with its options. */
export function describeProgram(program: Command): readonly CompletedCommand[] {
  const global = program.options.map(describeOption);
  const describe = (command: Command, path: readonly string[]): readonly CompletedCommand[] => [
    {
      path,
      summary: command.summary() || command.description(),
      words: [
        ...command.commands.map((child) => ({ word: child.name(), summary: child.summary() || child.description() })),
        ...command.registeredArguments
          .flatMap(({ argChoices }) => argChoices ?? [])
          .map((word) => ({ word, summary: "" })),
      ],
      nodes: command.registeredArguments.some((argument) => /^nodes?$/.test(argument.name())),
      options: [
        ...command.options.filter(({ hidden }) => !hidden && command !== program).map(describeOption),
        ...global,
        { name: "--help", summary: "show help", value: "none" },
      ],
    },
    ...command.commands.flatMap((child) => describe(child, [...path, child.name()])),
  ];
  return describe(program, []);
}

/** The command that prints the nodes' names. Prints nothing if there are no nodes. */
export const askNodes = "khw-client completion nodes 2>/dev/null";

function describeOption(option: Option): CompletedOption {
  return { name: option.long ?? option.flags, summary: firstSentence(option.description), value: valueOf(option) };
}

function valueOf({ flags, argChoices }: Option): CompletedOption["value"] {
  const [, value] = /<(.*)>/.exec(flags) ?? [];
  if (argChoices !== undefined) return argChoices;
  if (value === undefined) return "none";
  if (value.includes("|")) return value.split("|");
  return value === "file" || value === "folder" ? "path" : "any";
}

function firstSentence(text: string): string {
  return text.replace(/[.;:] .*$/s, "").replace(/\.$/, "");
}

/** Returns every command's path as one word, for example "/lb/create". */
export function pathWords(commands: readonly CompletedCommand[]): readonly string[] {
  return commands.filter(({ path }) => path.length > 0).map(({ path }) => pathWord(path));
}

/** Returns a command's path as one word, for example "/lb/create"; empty for the program itself. */
export function pathWord(path: readonly string[]): string {
  return path.map((word) => `/${word}`).join("");
}

/**
 * Groups the options by the kind of value that they accept. Each option appears once, because its name has the same
 * meaning in every command.
 */
export function optionValues(commands: readonly CompletedCommand[]): {
  readonly paths: readonly string[];
  readonly others: readonly string[];
  readonly choices: ReadonlyMap<string, readonly string[]>;
} {
  const options = commands.flatMap((command) => command.options);
  const named = (kind: string): string[] => [
    ...new Set(options.filter(({ value }) => value === kind).map(({ name }) => name)),
  ];
  const choices = options.flatMap(({ name, value }) => (typeof value === "string" ? [] : [[name, value] as const]));
  return { paths: named("path"), others: named("any"), choices: new Map(choices) };
}

/** Returns the text in single quotes, for use in a shell. */
export function quote(text: string): string {
  return `'${text.replaceAll("'", `'\\''`)}'`;
}
