import { readFile, stat } from "node:fs/promises";
import { io } from "./io.ts";
import { isErrno } from "../../proto/errno.ts";

export interface RunningProcess {
  readonly environment: Readonly<Record<string, string>>;
  /** The command line, or the title that the process set for itself. */
  readonly argv: readonly string[];
  /** The inode and device of the executed program. */
  readonly inode: bigint;
  readonly device: bigint;
}

/**
 * Reads the environment, command line and program of a running process from /proc. Returns undefined if the process is
 * gone or is a kernel thread.
 */
export async function readProcess(pid: number): Promise<RunningProcess | undefined> {
  const folder = `/proc/${pid}`;
  return io(folder, "cannot read", async () => {
    try {
      const [environ, cmdline, program] = await Promise.all([
        readFile(`${folder}/environ`, "utf8"),
        readFile(`${folder}/cmdline`, "utf8"),
        stat(`${folder}/exe`, { bigint: true }),
      ]);
      return {
        environment: parseEnvironment(environ),
        // Each argument ends with a zero byte.
        argv: cmdline.split("\0").slice(0, -1),
        inode: program.ino,
        device: program.dev,
      };
    } catch (error) {
      if (isErrno(error, "ENOENT", "ESRCH")) return undefined;
      throw error;
    }
  });
}

function parseEnvironment(environ: string): Record<string, string> {
  const variables = environ.split("\0").filter((variable) => variable.includes("="));
  return Object.fromEntries(
    variables.map((variable) => {
      const equals = variable.indexOf("=");
      return [variable.slice(0, equals), variable.slice(equals + 1)];
    }),
  );
}
