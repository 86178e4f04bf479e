import { spawn } from "node:child_process";
import { once } from "node:events";
import { createInterface } from "node:readline";
import { KhwError } from "../../proto/errors.ts";
import type { LogEntry } from "../../proto/gen/khw/agent/v1/agent.ts";
import { parseJournalLine } from "./journal-line.ts";
import { plainLanguage } from "./run.ts";

/** Reads the journals of units. */
export interface Logs {
  /**
   * Streams lines, oldest first, as fast as the caller reads them. Throws the signal's reason when the signal aborts.
   * @throws KhwError IO_FAILED
   */
  stream(request: LogsRequest, signal: AbortSignal): AsyncIterable<LogEntry>;
}

export interface LogsRequest {
  /** The unit's name, including the suffix. */
  readonly unit: string;
  /** The maximum number of existing lines, counted from the newest; 0 means all lines. */
  readonly lines: number;
  /** The time of the oldest line to return, in milliseconds since the epoch; 0 means no limit. */
  readonly sinceUnixMillis: number;
  /** Whether to continue with new lines as they are written. */
  readonly follow: boolean;
}

/** Reads the machine's journal with journalctl, which can follow a journal across rotations. */
export function createLogs(): Logs {
  return { stream };
}

/**
 * Streams journal lines. A slow reader makes journalctl wait, because a pipe holds little data. When the reader stops
 * for any reason, journalctl is killed.
 */
async function* stream(request: LogsRequest, signal: AbortSignal): AsyncGenerator<LogEntry> {
  signal.throwIfAborted();
  const child = spawn("journalctl", journalctlArguments(request), {
    env: { PATH: "/usr/sbin:/usr/bin:/sbin:/bin", ...plainLanguage, TZ: "UTC" },
    stdio: ["ignore", "pipe", "pipe"],
    cwd: "/",
  });
  const ended = once(child, "close");
  // Prevents an unhandled rejection if the reader stops before the error is handled below.
  ended.catch(() => undefined);
  let complaint = "";
  child.stderr
    .setEncoding("utf8")
    .on("data", (text: string) => (complaint = `${complaint}${text}`.slice(-maxComplaint)));
  const kill = (): void => {
    child.kill("SIGKILL");
    child.stdout.destroy();
  };
  signal.addEventListener("abort", kill, { once: true });
  try {
    for await (const line of createInterface({ input: child.stdout, crlfDelay: Infinity })) {
      const entry = parseJournalLine(line);
      if (entry !== undefined) yield entry;
    }
    const [code] = await ended;
    signal.throwIfAborted();
    // journalctl also exits with status 1 if it found no lines.
    if (code !== 0 && complaint.trim() !== "") throw journalError(request, complaint.trim());
  } catch (error) {
    signal.throwIfAborted();
    if (error instanceof KhwError) throw error;
    throw journalError(request, error instanceof Error ? error.message : String(error), error);
  } finally {
    signal.removeEventListener("abort", kill);
    kill();
  }
}

const maxComplaint = 500;

function journalctlArguments({ unit, lines, sinceUnixMillis, follow }: LogsRequest): string[] {
  return [
    "--output=json",
    // Without this option, a field of more than 4096 bytes is null.
    "--all",
    "--output-fields=MESSAGE,PRIORITY,_PID,SYSLOG_PID",
    // Without this option, --follow shows only the current boot.
    "--merge",
    "--quiet",
    "--no-pager",
    `--unit=${unit}`,
    ...(lines > 0 ? [`--lines=${lines}`] : follow ? ["--no-tail"] : []),
    ...(sinceUnixMillis > 0 ? [`--since=@${(sinceUnixMillis / 1000).toFixed(3)}`] : []),
    ...(follow ? ["--follow"] : []),
  ];
}

function journalError({ unit }: LogsRequest, why: string, cause?: unknown): KhwError {
  return new KhwError("IO_FAILED", `the journal of ${unit} cannot be read: ${why}`, {
    hint: "check that `journalctl` works on the node",
    cause,
  });
}
