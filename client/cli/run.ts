import type { Context } from "../terminal/context.ts";

/**
 * Runs the command that the arguments specify, and returns its exit code.
 * @throws KhwError INVALID_ARGUMENT for arguments that no command accepts; otherwise the command's own error
 */
export async function run(argv: readonly string[], context: Context): Promise<number> {
  // Handles --version before any other module is loaded, so that it takes little longer than starting Node.
  if (argv.length === 1 && (argv[0] === "--version" || argv[0] === "-V")) {
    const { clientVersion } = await import("../client-version.ts");
    context.write(`khw-client ${await clientVersion()}\n`);
    return 0;
  }
  const { runProgram } = await import("./program.ts");
  return runProgram(argv, context);
}
