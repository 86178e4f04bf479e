/** Runs commands to their end, with a deadline. */
import { spawn } from "node:child_process";

import { hasCode } from "./errors.ts";

/** How a command is run. */
export interface RunOptions {
  /** What the command reads on its standard input; nothing without it. */
  readonly input?: string | Buffer;
  /** The command's whole environment on top of a plain one (PATH, HOME, LANG): the caller's own is never inherited. */
  readonly env?: Readonly<Record<string, string>>;
  /** Working folder, as the command sees it. */
  readonly cwd?: string;
  /** Milliseconds until the command and what it started in its process group are killed; 120 s without it. */
  readonly timeoutMs?: number;
  /** Kills the command early. */
  readonly signal?: AbortSignal;
}

/** How a command ended: its exit status (128 + n after signal n) and all it wrote. */
export interface RunResult {
  readonly code: number;
  readonly stdout: string;
  readonly stderr: string;
}

/** The environment that every command gets: nothing of the test runner's own (NODE_OPTIONS, TAP, ...) leaks in. */
export const plainEnvironment = {
  PATH: "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
  HOME: "/root",
  LANG: "C.UTF-8",
} as const;

const defaultTimeoutMs = 120_000;
const signalNumbers: Readonly<Record<string, number>> = { SIGINT: 2, SIGKILL: 9, SIGSEGV: 11, SIGTERM: 15 };

/**
 * Runs a command and waits for its end. A non-zero exit status is a result, not an error; throws when the command
 * cannot be started, is aborted, or overruns its deadline (with the last that it wrote).
 */
export async function run(argv: readonly string[], options: RunOptions = {}): Promise<RunResult> {
  const [file, ...args] = argv;
  if (file === undefined) throw new Error("an empty command");
  const timeoutMs = options.timeoutMs ?? defaultTimeoutMs;
  const deadline = AbortSignal.timeout(timeoutMs);
  const signal = options.signal ? AbortSignal.any([options.signal, deadline]) : deadline;
  signal.throwIfAborted();

  // A process group of its own: killing it reaches what nsenter forked, too.
  // The test runner sees to it that whatever a test spawns gets NODE_OPTIONS of its own, this environment or not.
  const child = spawn("/usr/bin/env", ["--unset=NODE_OPTIONS", "--", file, ...args], {
    detached: true,
    env: { ...plainEnvironment, ...options.env },
    ...(options.cwd === undefined ? {} : { cwd: options.cwd }),
  });
  const kill = (): void => {
    if (child.pid !== undefined) killGroup(child.pid);
  };
  signal.addEventListener("abort", kill, { once: true });
  const stdout: Buffer[] = [];
  const stderr: Buffer[] = [];
  child.stdout.on("data", (chunk: Buffer) => stdout.push(chunk));
  child.stderr.on("data", (chunk: Buffer) => stderr.push(chunk));
  // A command that ends without reading its input is no error of ours: its exit status tells.
  child.stdin.on("error", () => {});
  child.stdin.end(options.input);

  try {
    const code = await new Promise<number>((resolve, reject) => {
      child.once("error", reject);
      child.once("close", (status, name) => resolve(status ?? 128 + (signalNumbers[name ?? ""] ?? 0)));
    });
    const result = { code, stdout: text(stdout), stderr: text(stderr) };
    if (!signal.aborted) return result;
    const seen = `${result.stdout}${result.stderr}`.trim().split("\n").slice(-5).join("\n");
    const why = deadline.aborted ? `not done after ${timeoutMs / 1000} s` : "aborted";
    throw new Error(`${argv.join(" ")}: ${why}; last output: ${seen || "none"}`, { cause: signal.reason });
  } finally {
    signal.removeEventListener("abort", kill);
  }
}

/** Like {@link run}, for a command that must succeed: gives its standard output, throws with its standard error otherwise. */
export async function must(argv: readonly string[], options: RunOptions = {}): Promise<string> {
  return succeeded(argv, await run(argv, options));
}

/** The standard output of a command that succeeded; throws for one that did not. */
export function succeeded(argv: readonly string[], result: RunResult): string {
  if (result.code === 0) return result.stdout;
  throw new Error(`${argv.join(" ")}: exit status ${result.code}: ${(result.stderr || result.stdout).trim()}`);
}

function killGroup(pid: number): void {
  try {
    process.kill(-pid, "SIGKILL");
  } catch (error) {
    if (!hasCode(error, "ESRCH")) throw error;
  }
}

function text(chunks: readonly Buffer[]): string {
  return Buffer.concat(chunks).toString("utf8");
}
