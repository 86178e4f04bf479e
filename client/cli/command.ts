import type { Argument, Command, Option } from "commander";
import type { ClusterConfig } from "../config/schema.ts";
import type { Context } from "../terminal/context.ts";
import type { OutputFormat } from "../terminal/output-format.ts";

/** A command: its help, its arguments and its action. */
export interface CommandSpec {
  /** The words that select the command, for example ["lb", "create"]. */
  readonly path: readonly [string] | readonly [family: string, name: string];
  readonly summary: string;
  /** The help text after the summary. */
  readonly details?: string;
  readonly examples?: readonly string[];
  /** The keys of khw.yaml, or groups of keys, whose flags the command accepts. */
  readonly settings?: readonly string[];
  /**
   * The keys or groups among `settings` that the short help shows, in addition to the few keys that it shows for every
   * command.
   */
  readonly everyday?: readonly string[];
  readonly options?: readonly Option[];
  readonly arguments?: readonly Argument[];
  /** The command's output formats (default: text and JSON). */
  readonly forms?: readonly OutputFormat[];
  /** Whether the command reads the options of all commands from `Call.program`. Default: false. */
  readonly describesProgram?: boolean;
  /** Runs the command and returns its exit code. The command's own module is loaded only at this point. */
  readonly run: (call: Call) => Promise<number>;
}

/** The arguments and options of one invocation. */
export interface Call {
  readonly context: Context;
  readonly output: "text" | "json";
  /** Like `output`, for commands that support more formats. */
  readonly form: OutputFormat;
  /** Reads khw.yaml and the flags. */
  readonly config: () => Promise<ClusterConfig>;
  readonly arguments: readonly string[];
  /** Returns the value of one of the command's own options, named in camel case; "" if the option was not given. */
  readonly text: (option: string) => string;
  readonly texts: (option: string) => readonly string[];
  readonly flag: (option: string) => boolean;
  readonly program: Command;
}
