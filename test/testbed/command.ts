/** Runs commands and waits until they exit, up to a deadline. */
import { spawn } from "node:child_process";

import { isErrno } from "../../proto/errno.ts";

/** The options of a command. */
export interface RunOptions {
  /** The command's standard input; empty by default. */
  readonly input?: string | Buffer;
  /** Variables to add to a minimal environment (PATH, HOME, LANG). The caller's own environment is never inherited. */
  readonly env?: Readonly<Record<string, string>>;
  /** The working folder, as the command sees it. */
  readonly cwd?: string;
  /** Milliseconds after which the command and its process group are killed; 120 s by default. */
  readonly timeoutMs?: number;
  /** If this signal is aborted, the command is killed before its deadline. */
  readonly signal?: AbortSignal;
}

/** The result of a command: its exit status (128 + n after signal n) and all its output. */
export interface RunResult {
  readonly code: number;
  readonly stdout: string;
  readonly stderr: string;
}

/** The basic environment of every command. It contains none of the test runner's variables (NODE_OPTIONS, TAP, ...). */
export const plainEnvironment = {
  PATH: "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
  HOME: "/root",
  LANG: "C.UTF-8",
} as const;

const defaultTimeoutMs = 120_000;
const signalNumbers: Readonly<Record<string, number>> = { SIGINT: 2, SIGKILL: 9, SIGSEGV: 11, SIGTERM: 15 };

/**
 * Runs a command and waits until it exits. A non-zero exit status is a result, not an error. Throws if the command
 * cannot be started, is aborted, or exceeds its deadline. The error contains the last lines of the output.
 */
export async function run(argv: readonly string[], options: RunOptions = {}): Promise<RunResult> {
  const [file, ...args] = argv;
  if (file === undefined) throw new Error("an empty command");
  const timeoutMs = options.timeoutMs ?? defaultTimeoutMs;
  const deadline = AbortSignal.timeout(timeoutMs);
  const signal = options.signal ? AbortSignal.any([options.signal, deadline]) : deadline;
  signal.throwIfAborted();

  // The command has a separate process group, so that a kill also reaches the processes that nsenter has forked.
  // NODE_OPTIONS must be unset, because the test runner sets it for every process, regardless of the environment given
  // here.
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
  // A command may exit without reading its input. Only the exit status matters.
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

/**
 * Like {@link run}, but for a command that must succeed. Returns its standard output. If the command fails, throws an
 * error that contains its standard error.
 */
export async function must(argv: readonly string[], options: RunOptions = {}): Promise<string> {
  return succeeded(argv, await run(argv, options));
}

/** Returns the standard output of a successful command. Throws if the command failed. */
export function succeeded(argv: readonly string[], result: RunResult): string {
  if (result.code === 0) return result.stdout;
  throw new Error(`${argv.join(" ")}: exit status ${result.code}: ${(result.stderr || result.stdout).trim()}`);
}

function killGroup(pid: number): void {
  try {
    process.kill(-pid, "SIGKILL");
  } catch (error) {
    if (!isErrno(error, "ESRCH")) throw error;
  }
}

function text(chunks: readonly Buffer[]): string {
  return Buffer.concat(chunks).toString("utf8");
}
