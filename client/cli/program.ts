import { Command, CommanderError, Option } from "commander";
import { KhwError } from "../../proto/errors.ts";
import { refuse, show } from "../../proto/validate.ts";
import type { Call, CommandSpec } from "./command.ts";
import { commands, families } from "./command-table.ts";
import { addLongHelp } from "./help.ts";
import { clientVersion } from "../client-version.ts";
import { addFlags, givenFlags } from "../config/flags.ts";
import { loadConfig } from "../config/load.ts";
import type { Context } from "../terminal/context.ts";
import type { OutputFormat } from "../terminal/output-format.ts";

const usageError = 64;

/** All output formats, and the formats that every command supports. */
const forms: readonly OutputFormat[] = ["text", "json", "yaml", "wide"];
const commonForms: readonly OutputFormat[] = ["text", "json"];

/**
 * Runs the command that the arguments specify.
 * @throws KhwError INVALID_ARGUMENT, or the error of the command
 */
export async function runProgram(argv: readonly string[], context: Context): Promise<number> {
  let exitCode = 0;
  const done = (code: number): void => {
    exitCode = code;
  };
  const program = createProgram(context, { version: await clientVersion(), done, argv });
  try {
    await program.parseAsync([...argv], { from: "user" });
  } catch (error) {
    if (!(error instanceof CommanderError)) throw error;
    if (error.exitCode === 0) return 0;
    // No command was given, so commander has printed the help.
    if (error.code === "commander.help") return usageError;
    throw toArgumentError(error);
  }
  return exitCode;
}

export interface ProgramOptions {
  readonly version: string;
  /** Called with the exit code of the command. */
  readonly done: (exitCode: number) => void;
  /** The command line. Without a command line, the options of every command are added. */
  readonly argv?: readonly string[];
}

/** Builds the program from the command table. */
export function createProgram(context: Context, { version, done, argv }: ProgramOptions): Command {
  const complete = completeCommands(argv);
  const program = new Command("khw-client")
    .description(
      "Sets up a highly available Kubernetes control plane on machines that you already have, and keeps it running.",
    )
    .option("--config <file>", "read settings from this file (default: khw.yaml in the current folder, if it exists)")
    .addOption(new Option("-o, --output <form>", "output format").choices(forms).default("text"))
    .option("--debug", "print stack traces with errors")
    .version(`khw-client ${version}`, "-V, --version", "print this client's version")
    .helpOption("-h, --help", "show help")
    .helpCommand("help [command]", "show the help of a command")
    .configureHelp({ showGlobalOptions: true, minWidthToWrap: 20 })
    .configureOutput({ writeOut: context.write, writeErr: context.warn, outputError: () => {} })
    .exitOverride();
  const parents = new Map<string, Command>();
  for (const spec of commands) {
    const [first, second] = spec.path;
    if (second === undefined) addCommand(program, first, spec);
    else {
      const parent = parents.get(first) ?? program.command(first).description(families[first] ?? "");
      parents.set(first, parent);
      addCommand(parent, second, spec);
    }
  }
  return program;

  function addCommand(parent: Command, name: string, spec: CommandSpec): void {
    const command = parent.command(name).summary(spec.summary).description(describeCommand(spec));
    if (!complete.has(spec)) return;
    for (const argument of spec.arguments ?? []) command.addArgument(argument);
    for (const option of spec.options ?? []) command.addOption(option);
    addFlags(command, spec.settings ?? []);
    addLongHelp(command, spec.everyday);
    if (spec.examples !== undefined) command.addHelpText("after", `\nExamples:\n  ${spec.examples.join("\n  ")}`);
    command.action(async () => {
      // This module is loaded here because `--help` and `--version` do not need TLS.
      const { guardPeerCertificates } = await import("../../proto/peer-certificate.ts");
      guardPeerCertificates();
      done(await spec.run(callOf(command, program, { context, spec })));
    });
  }
}

/**
 * Returns the commands that need their options and their action, because all of their words are in the command line.
 * Returns all commands for a help text about several commands, or for a command that describes the program. Adding the
 * options of every command would take longer than the rest of the startup.
 */
function completeCommands(argv: readonly string[] | undefined): ReadonlySet<CommandSpec> {
  const named = commands.filter(({ path }) => path.every((word) => argv?.includes(word) === true));
  return new Set(named.length === 0 || named.some(({ describesProgram }) => describesProgram) ? commands : named);
}

function describeCommand({ summary, details }: CommandSpec): string {
  const sentence = `${summary.charAt(0).toUpperCase()}${summary.slice(1)}.`;
  return details === undefined ? sentence : `${sentence} ${details}`;
}

interface CallOptions {
  readonly context: Context;
  readonly spec: CommandSpec;
}

function callOf(command: Command, program: Command, { context, spec }: CallOptions): Call {
  const options: Readonly<Record<string, unknown>> = command.optsWithGlobals();
  const text = (name: string): string => {
    const value = options[name];
    return typeof value === "string" ? value : "";
  };
  return {
    context,
    output: options["output"] === "json" ? "json" : "text",
    form: parseForm(text("output"), spec),
    config: async () => {
      const config = await loadConfig({
        file: text("config") || undefined,
        flags: givenFlags(command),
        folder: process.cwd(),
        env: context.env,
      });
      const contradiction = config.loadBalancer === "gce" ? config.place?.contradiction : undefined;
      if (contradiction !== undefined) context.warn(`warning: ${contradiction}\n`);
      return config;
    },
    arguments: command.args,
    text,
    texts: (name) => {
      const value = options[name];
      return Array.isArray(value) ? value.map(String) : [];
    },
    flag: (name) => options[name] === true,
    program,
  };
}

function parseForm(text: string, { forms: known = commonForms }: CommandSpec): OutputFormat {
  const hint = `use one of ${known.join(", ")}`;
  return (
    known.find((form) => form === text) ??
    refuse("--output", `${show(text)} is not an output format of this command`, hint)
  );
}

/** Removes the prefix from commander's message, and turns the message's suggestion into the hint. */
function toArgumentError(error: CommanderError): KhwError {
  const [message = "", suggestion] = error.message.replace(/^error: /, "").split("\n");
  const hint = suggestion?.replace(/^\(Did you mean (.*)\?\)$/, "did you mean $1?") ?? "khw-client --help";
  return new KhwError("INVALID_ARGUMENT", message, { hint, cause: error });
}
