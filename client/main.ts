import { exitCode, formatError, KhwError, toKhwError } from "../proto/errors.ts";
import { run } from "./cli/run.ts";
import type { Context } from "./terminal/context.ts";

const interrupt = new AbortController();
for (const name of ["SIGINT", "SIGTERM"] as const) {
  // The second Ctrl-C finds no handler left and ends the process at once.
  process.once(name, () => interrupt.abort(new KhwError("CANCELLED", `ended by ${name}`)));
}

// Whoever read the output has seen enough (`khw-client logs | head`): as SIGPIPE would end it, without a word.
process.stdout.once("error", (error: NodeJS.ErrnoException) => process.exit(error.code === "EPIPE" ? 141 : 74));

const context: Context = {
  write: (text) => void process.stdout.write(text),
  warn: (text) => void process.stderr.write(text),
  terminal: process.stdout.isTTY,
  size: () => ({ rows: process.stdout.rows ?? 24, columns: process.stdout.columns ?? 80 }),
  env: process.env,
  signal: interrupt.signal,
};

const argv = process.argv.slice(2);
try {
  process.exitCode = await run(argv, context);
} catch (thrown) {
  const error = toKhwError(thrown);
  context.warn(`${formatError(error)}\n`);
  if (argv.includes("--debug") || error.code === "INTERNAL") context.warn(`${causes(error).join("\ncaused by: ")}\n`);
  process.exitCode = exitCode(error);
}

// A connection that is being made to a machine that is silent cannot be called back, and would keep the process for minutes.
process.stdout.write("", () => process.stderr.write("", () => process.exit(process.exitCode)));

/** The stack traces of an error and of all that caused it. */
function causes(error: unknown): string[] {
  if (!(error instanceof Error)) return [];
  return [error.stack ?? error.message, ...causes(error.cause)];
}
