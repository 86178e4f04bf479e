import { spawn } from "node:child_process";
import { once } from "node:events";
import { createInterface } from "node:readline";
import { KhwError } from "../../proto/errors.ts";
import type { LogEntry } from "../../proto/gen/khw/agent/v1/agent.ts";
import { parseJournalLine } from "./journal-line.ts";
import type { Logs, LogsRequest } from "./os.ts";
import { plainLanguage } from "./run.ts";

/** The machine's journal, read by journalctl: it knows how to follow a journal that is rotated. */
export function createLogs(): Logs {
  return { stream };
}

/**
 * The program waits for whoever does not read on, since a pipe holds little; it ends with the reading, however that ends.
 */
async function* stream(request: LogsRequest, signal: AbortSignal): AsyncGenerator<LogEntry> {
  signal.throwIfAborted();
  const child = spawn("journalctl", journalctlArguments(request), {
    env: { PATH: "/usr/sbin:/usr/bin:/sbin:/bin", ...plainLanguage, TZ: "UTC" },
    stdio: ["ignore", "pipe", "pipe"],
    cwd: "/",
  });
  const ended = once(child, "close");
  // Heard of below, unless nobody reads as far.
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
    // Its status is 1 where it found no line, too.
    if (code !== 0 && complaint.trim() !== "") throw unreadable(request, complaint.trim());
  } catch (error) {
    signal.throwIfAborted();
    if (error instanceof KhwError) throw error;
    throw unreadable(request, error instanceof Error ? error.message : String(error), error);
  } finally {
    signal.removeEventListener("abort", kill);
    kill();
  }
}

const maxComplaint = 500;

function journalctlArguments({ unit, lines, sinceUnixMillis, follow }: LogsRequest): string[] {
  return [
    "--output=json",
    // Without this, a field of more than 4096 bytes comes as null.
    "--all",
    "--output-fields=MESSAGE,PRIORITY,_PID,SYSLOG_PID",
    // Without this, --follow tells of the current boot alone.
    "--merge",
    "--quiet",
    "--no-pager",
    `--unit=${unit}`,
    ...(lines > 0 ? [`--lines=${lines}`] : follow ? ["--no-tail"] : []),
    ...(sinceUnixMillis > 0 ? [`--since=@${(sinceUnixMillis / 1000).toFixed(3)}`] : []),
    ...(follow ? ["--follow"] : []),
  ];
}

function unreadable({ unit }: LogsRequest, why: string, cause?: unknown): KhwError {
  return new KhwError("IO_FAILED", `the journal of ${unit} cannot be read: ${why}`, {
    hint: "does `journalctl` work on the node?",
    cause,
  });
}
