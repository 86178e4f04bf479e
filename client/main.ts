import { exitCode, formatError, KhwError, toKhwError } from "../proto/errors.ts";
import { createWriter, writeError } from "../proto/output.ts";
import { keepLines } from "../proto/sanitize.ts";
import { run } from "./cli/run.ts";
import type { Context } from "./terminal/context.ts";
import { assumeSize } from "./terminal/size.ts";

/** The shell's exit code for a program that was killed by SIGPIPE. */
const brokenPipe = 141;

const interrupt = new AbortController();
for (const name of ["SIGINT", "SIGTERM"] as const) {
  // Handles only the first Ctrl-C, so that a second Ctrl-C ends the process immediately.
  process.once(name, () => interrupt.abort(new KhwError("CANCELLED", `ended by ${name}`)));
}

let unwritten: KhwError | undefined;
const write = createWriter(process.stdout, (error) => {
  // The reader has closed the pipe (`khw-client logs | head`).
  if (error.code === "EPIPE") process.exit(brokenPipe);
  unwritten = writeError("standard output", error);
  // Ends the command as Ctrl-C would. The agents continue their work.
  interrupt.abort(unwritten);
});
const warn = createWriter(process.stderr, (error) => {
  unwritten ??= writeError("standard error", error);
});

assumeSize(process.stdout);
assumeSize(process.stderr);
const context: Context = {
  write,
  warn,
  terminal: process.stdout.isTTY,
  size: () => ({ rows: process.stdout.rows, columns: process.stdout.columns }),
  ...(process.stdin.isTTY && process.stderr.isTTY && { confirm: ask, prompt: askForText }),
  env: process.env,
  signal: interrupt.signal,
};

const argv = process.argv.slice(2);
let code: number;
try {
  code = await run(argv, context);
} catch (thrown) {
  const error = unwritten ?? toKhwError(thrown);
  if (error !== unwritten) reportError(error);
  code = exitCode(error);
}

// Resolves when all earlier output has reached its reader.
await new Promise<void>((resolve) => process.stdout.write("", () => process.stderr.write("", () => resolve())));
if (unwritten !== undefined) {
  reportError(unwritten);
  code = exitCode(unwritten);
}
// A connection attempt to an unresponsive machine cannot be canceled, and would keep the process alive for minutes.
process.stderr.write("", () => process.exit(code));

async function ask(question: string): Promise<boolean> {
  const { confirm } = await import("./terminal/confirm.ts");
  return confirm(question, interrupt.signal);
}

async function askForText(question: string): Promise<string | undefined> {
  const { prompt } = await import("./terminal/confirm.ts");
  return prompt(question, interrupt.signal);
}

function reportError(error: KhwError): void {
  warn(`${formatError(error)}\n`);
  if (!argv.includes("--debug") && error.code !== "INTERNAL") return;
  warn(`${keepLines(causes(error).join("\ncaused by: "))}\n`);
}

/** Returns the stack traces of an error and of its causes. */
function causes(error: unknown): string[] {
  if (!(error instanceof Error)) return [];
  return [error.stack ?? error.message, ...causes(error.cause)];
}
