import { Command, CommanderError, Option } from "commander";
import { KhwError } from "../../proto/errors.ts";
import { refuse, show } from "../../proto/validate.ts";
import type { Call, CommandSpec } from "./command.ts";
import { commands, families } from "./command-table.ts";
import { clientVersion } from "../commands/version.ts";
import { addFlags, givenFlags } from "../config/flags.ts";
import { loadConfig } from "../config/load.ts";
import type { Context } from "../terminal/context.ts";
import type { Form } from "../terminal/output-format.ts";

const usageError = 64;

/** What any command can tell its results in, and then what some can. */
const forms: readonly Form[] = ["text", "json", "yaml", "wide"];
const commonForms: readonly Form[] = ["text", "json"];

/** Runs the command that the arguments name. @throws KhwError INVALID_ARGUMENT, or whatever the command throws */
export async function runProgram(argv: readonly string[], context: Context): Promise<number> {
  let exitCode = 0;
  const done = (code: number): void => {
    exitCode = code;
  };
  const program = createProgram(context, { version: await clientVersion(), done });
  try {
    await program.parseAsync([...argv], { from: "user" });
  } catch (error) {
    if (!(error instanceof CommanderError)) throw error;
    if (error.exitCode === 0) return 0;
    // The help was shown in place of a command that was not named.
    if (error.code === "commander.help") return usageError;
    throw toArgumentError(error);
  }
  return exitCode;
}

export interface ProgramOptions {
  readonly version: string;
  /** Told the exit code of the command that was run. */
  readonly done: (exitCode: number) => void;
}

/** The program of the table's commands. */
export function createProgram(context: Context, { version, done }: ProgramOptions): Command {
  const program = new Command("khw-client")
    .description("Turns machines that you already have into a highly available Kubernetes control plane.")
    .option("--config <file>", "read this file; without it khw.yaml in the current folder, where there is one")
    .addOption(new Option("-o, --output <form>", "how results are told").choices(forms).default("text"))
    .option("--debug", "tell where in the program an error came from")
    .version(`khw-client ${version}`, "-V, --version", "tell this client's version")
    .helpOption("-h, --help", "show this")
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
    const command = parent.command(name).summary(spec.summary).description(describe(spec));
    for (const argument of spec.arguments ?? []) command.addArgument(argument);
    for (const option of spec.options ?? []) command.addOption(option);
    addFlags(command, spec.settings ?? []);
    if (spec.examples !== undefined) command.addHelpText("after", `\nExamples:\n  ${spec.examples.join("\n  ")}`);
    command.action(async () => {
      // Loaded here, and not at the top: `--version` needs no TLS.
      const { guardPeerCertificates } = await import("../../proto/peer-certificate.ts");
      guardPeerCertificates();
      done(await spec.run(callOf(command, program, { context, spec })));
    });
  }
}

function describe({ summary, details }: CommandSpec): string {
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

function parseForm(text: string, { path, forms: known = commonForms }: CommandSpec): Form {
  const hint = `${path.join(" ")} knows ${known.join(", ")}`;
  return known.find((form) => form === text) ?? refuse("--output", `${show(text)} is for other commands`, hint);
}

/** commander's own words, without its prefix, and its suggestion as the hint. */
function toArgumentError(error: CommanderError): KhwError {
  const [message = "", suggestion] = error.message.replace(/^error: /, "").split("\n");
  const hint = suggestion?.replace(/^\(Did you mean (.*)\?\)$/, "did you mean $1?") ?? "khw-client --help";
  return new KhwError("INVALID_ARGUMENT", message, { hint, cause: error });
}
