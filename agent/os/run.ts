import { spawn } from "node:child_process";
import { constants } from "node:os";
import { createInterface } from "node:readline";

/** How a program ended. */
export interface Ended {
  /** Its exit code; 128 and more where a signal ended it, as shells count. */
  readonly code: number;
  /** What it wrote to stdout and stderr as it came, the last lines only. */
  readonly lines: readonly string[];
}

export interface RunOptions {
  readonly signal: AbortSignal;
  /** Called with every line as it comes. */
  readonly onLine?: (line: string) => void;
  /** How many lines to keep. */
  readonly keep?: number;
}

/**
 * Makes programs write English, in UTF-8, so that their words can be read. Without an empty LANGUAGE a unit inherits the
 * machine's, and gettext obeys LANGUAGE in every locale other than "C".
 */
export const plainLanguage = { LC_ALL: "C.UTF-8", LANGUAGE: "" } as const;

const maxLineLength = 2000;

/**
 * Runs a program without a shell, in a clean environment. It is killed at the signal's abort, and the abort's reason
 * thrown. A program that is not there throws as spawn does (ENOENT).
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
    // What it started may hold the other ends, and would keep this waiting.
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
