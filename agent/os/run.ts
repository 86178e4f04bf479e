import { spawn } from "node:child_process";
import { constants } from "node:os";
import { createInterface } from "node:readline";

/** The result of running a program. */
export interface Ended {
  /** The exit code. If a signal killed the program, the code is 128 plus the signal's number, as in shells. */
  readonly code: number;
  /** The last lines of stdout and stderr, in order of arrival. */
  readonly lines: readonly string[];
}

export interface RunOptions {
  readonly signal: AbortSignal;
  /** Called with every line as it arrives. */
  readonly onLine?: (line: string) => void;
  /** The maximum number of lines to keep. */
  readonly keep?: number;
}

/**
 * Makes programs print English in UTF-8, so that khw can parse their output. LANGUAGE must be set to an empty string,
 * because a unit would otherwise inherit the machine's value. gettext prefers LANGUAGE in every locale except "C".
 */
export const plainLanguage = { LC_ALL: "C.UTF-8", LANGUAGE: "" } as const;

const maxLineLength = 2000;

/**
 * Runs a program without a shell, in a clean environment. Kills the program and throws the signal's reason if the
 * signal aborts. Throws spawn's error (ENOENT) if the program is missing.
 */
export async function run(argv: readonly [string, ...string[]], options: RunOptions): Promise<Ended> {
  const { signal, onLine, keep = 200 } = options;
  signal.throwIfAborted();
  const [file, ...args] = argv;
  const child = spawn(file, args, {
    env: { PATH: "/usr/sbin:/usr/bin:/sbin:/bin", ...plainLanguage },
    stdio: ["ignore", "pipe", "pipe"],
    cwd: "/",
  });
  const kill = (): void => {
    child.kill("SIGKILL");
    // The program's child processes may keep the pipes open, so "close" would not be emitted.
    child.stdout.destroy();
    child.stderr.destroy();
  };
  signal.addEventListener("abort", kill, { once: true });
  const lines: string[] = [];
  for (const stream of [child.stdout, child.stderr]) {
    createInterface({ input: stream, crlfDelay: Infinity }).on("line", (text) => {
      const line = text.slice(0, maxLineLength);
      lines.push(line);
      if (lines.length > keep) lines.shift();
      onLine?.(line);
    });
  }
  try {
    const code = await new Promise<number>((resolve, reject) => {
      child.once("error", reject);
      child.once("close", (code, by) => resolve(code ?? 128 + (by === null ? 0 : constants.signals[by])));
    });
    signal.throwIfAborted();
    return { code, lines };
  } finally {
    signal.removeEventListener("abort", kill);
  }
}
