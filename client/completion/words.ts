import type { Command, Option } from "commander";

/** A command as a shell completes it. */
export interface CompletedCommand {
  /** The words that lead to it: empty for the program itself, or ["lb", "create"]. */
  readonly path: readonly string[];
  readonly summary: string;
  /** Its subcommands' names, or its argument's choices. */
  readonly words: readonly CompletedWord[];
  /** It takes names of nodes, which are in khw.yaml: they are asked for when they are wanted. */
  readonly nodes: boolean;
  readonly options: readonly CompletedOption[];
}

export interface CompletedWord {
  readonly word: string;
  readonly summary: string;
}

export interface CompletedOption {
  /** With its dashes. */
  readonly name: string;
  readonly summary: string;
  /** What may follow it: nothing, one of a few words, a file or folder, or anything. */
  readonly value: "none" | "path" | "any" | readonly string[];
}

/** The program and all commands below it, each with the options that it takes. */
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

/** Prints the nodes' names, and nothing where there are none. */
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

/** Every command's path as one word: "/lb/create". */
export function pathWords(commands: readonly CompletedCommand[]): readonly string[] {
  return commands.filter(({ path }) => path.length > 0).map(({ path }) => pathWord(path));
}

/** "/lb/create"; empty for the program itself. */
export function pathWord(path: readonly string[]): string {
  return path.map((word) => `/${word}`).join("");
}

/** Options by what follows them; each is in one list only, since an option's name means one thing in every command. */
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

/** For the shells: between single quotes, which no description can end. */
export function quote(text: string): string {
  return `'${text.replaceAll("'", `'\\''`)}'`;
}
