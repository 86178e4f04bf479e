import type { Argument, Command, Option } from "commander";
import type { ClusterConfig } from "../config/schema.ts";
import type { Context } from "../terminal/context.ts";
import type { Form } from "../terminal/output-format.ts";

/** A command: what it shows of itself, what it takes and what it does. */
export interface CommandSpec {
  /** The words that it is called by. */
  readonly path: readonly [string] | readonly [family: string, name: string];
  readonly summary: string;
  /** What there is to say beyond the summary. */
  readonly details?: string;
  readonly examples?: readonly string[];
  /** The keys of khw.yaml, or whole groups of them, that it has the flags of. */
  readonly settings?: readonly string[];
  readonly options?: readonly Option[];
  readonly arguments?: readonly Argument[];
  /** What it can tell its results in; text and JSON where not given. */
  readonly forms?: readonly Form[];
  /** Answers the exit code. The command's own module is loaded here and no earlier. */
  readonly run: (call: Call) => Promise<number>;
}

/** What a command is called with. */
export interface Call {
  readonly context: Context;
  readonly output: "text" | "json";
  /** As `output`, for a command that knows more forms than these. */
  readonly form: Form;
  /** Reads khw.yaml and the flags. */
  readonly config: () => Promise<ClusterConfig>;
  readonly arguments: readonly string[];
  /** The value of an option of its own, which is named in camel case; "" where it was not given. */
  readonly text: (option: string) => string;
  readonly texts: (option: string) => readonly string[];
  readonly flag: (option: string) => boolean;
  readonly program: Command;
}
