import { isFatal } from "./fatal.ts";
import { run } from "./run.ts";

/**
 * Matches long, unhelpful output: the flag values that Kubernetes programs print, and Go's stack traces.
 */
const noise =
  /^\t|^\S+\(.*\)$|^created by |^goroutine \d+ (?:gp=\S+ )?(?:m=\S+ )?(?:mp=\S+ )?\[|^runtime stack:$|^\.\.\.(?:additional|\d+) frames? .*elided|^(?:r\w{1,5}|[c-g]s|lr|sp|pc|fault)\s+0x[0-9a-f]+$|^$|\] FLAG: --|^\s+--?\w/;
const keptLines = 400;
const keptLength = 2000;

/** The journal lines of one start of a unit. */
export interface StartLines {
  /** systemd's invocation ID in hex; empty if it is unknown. */
  readonly invocation: string;
  /** The unit's own lines, and systemd's lines about the unit ("Failed at step EXEC ..."), oldest first. */
  readonly lines: string[];
  /** The program's first fatal line (fatal.ts). This line is kept, no matter how many lines follow it. */
  fatal?: string;
}

/**
 * Reads the last lines of a unit's journal, and groups them by start, oldest start first. Leaves out flags and stack
 * traces. A late line that carries no invocation ID counts as part of the preceding start.
 */
export async function readStarts(unit: string, lines: number): Promise<StartLines[]> {
  const collected = collectStarts();
  // On a busy machine, the journal lags behind, and the program's last lines may not have been written yet.
  await run(["journalctl", "--sync"], { signal: AbortSignal.timeout(20_000), keep: 1 });
  // If systemd's child process cannot execute the program, the child logs a message with the unit's name. The child
  // exits before journald can determine the child's unit, so `--unit` would miss this message.
  const matches = [`_SYSTEMD_UNIT=${unit}`, "+", `UNIT=${unit}`, "_UID=0"];
  const read = await readLines([`--lines=${lines}`, ...matches], collected.take);
  if (read < lines) return collected.starts;
  // Some lines of the oldest start may be missing, including the fatal line.
  const [cut] = collected.starts;
  if (cut === undefined || cut.invocation === "" || cut.fatal !== undefined || lines < longRead)
    return collected.starts;
  const whose = [`_SYSTEMD_INVOCATION_ID=${cut.invocation}`, `_SYSTEMD_UNIT=${unit}`];
  await readLines([`--grep=${fatalGrep}`, "--case-sensitive=true", `--lines=${mostFatal}`, ...whose], ({ message }) => {
    // --grep with --lines shows the newest lines first, so the first fatal line comes last.
    if (isFatal(message)) cut.fatal = message;
  });
  if (cut.fatal !== undefined) cut.lines.unshift(cut.fatal);
  return collected.starts;
}

/** A read of at least this many lines also searches for the fatal line of the oldest start. */
const longRead = 1000;
const mostFatal = 200;
const fatalGrep =
  '^(F[0-9]{4} |panic: |fatal error: |runtime: |SIG[A-Z]+: |\\[signal SIG|unexpected fault|\\{"level":"d?(panic|fatal)")';

/** Groups lines by start. Keeps only the newest lines, but always the first fatal line of each start. */
export function collectStarts(): { readonly starts: StartLines[]; readonly take: (told: JournalEntries) => void } {
  const starts: StartLines[] = [];
  let kept = 0;
  const dropOldest = (): void => {
    const start = starts.find(({ lines, fatal }) => lines.length > 1 || lines[0] !== fatal) ?? starts[0];
    if (start === undefined) return;
    start.lines.splice(start.lines[0] === start.fatal && start.lines.length > 1 ? 1 : 0, 1);
    if (start.lines.length === 0) starts.splice(starts.indexOf(start), 1);
  };
  const take = ({ invocation, message }: JournalEntries): void => {
    if (noise.test(message)) return;
    let start = invocation === "" ? starts.at(-1) : starts.find((known) => known.invocation === invocation);
    if (start === undefined) starts.push((start = { invocation, lines: [] }));
    start.lines.push(message);
    if (start.fatal === undefined && isFatal(message)) start.fatal = message;
    for (kept += 1; kept > keptLines; kept -= 1) dropOldest();
  };
  return { starts, take };
}

/**
 * Reads the matching lines in the journal.
 * @returns the number of lines
 */
async function readLines(matches: readonly string[], take: (told: JournalEntries) => void): Promise<number> {
  const fields = "--output-fields=MESSAGE,INVOCATION_ID,_SYSTEMD_INVOCATION_ID";
  let count = 0;
  await run(["journalctl", "--no-pager", "--quiet", "--output=json", fields, ...matches], {
    signal: AbortSignal.timeout(20_000),
    keep: 1,
    onLine: (line) => {
      count += 1;
      const told = parseTold(line);
      if (told !== undefined) take(told);
    },
  });
  return count;
}

export interface JournalEntries {
  readonly invocation: string;
  readonly message: string;
}

/**
 * Parses a line. Returns undefined if the message is too long or not UTF-8. journalctl does not print these messages as
 * text.
 */
function parseTold(line: string): JournalEntries | undefined {
  let entry: unknown;
  try {
    entry = JSON.parse(line);
  } catch (error) {
    if (error instanceof SyntaxError) return undefined;
    throw error;
  }
  if (typeof entry !== "object" || entry === null) return undefined;
  const [message, own, systemds] = ["MESSAGE", "_SYSTEMD_INVOCATION_ID", "INVOCATION_ID"].map((key): unknown =>
    Reflect.get(entry, key),
  );
  if (typeof message !== "string") return undefined;
  // If systemd logs a line about a unit, the unit's invocation ID is in a different field than systemd's own ID.
  const invocation = [systemds, own].find((id) => typeof id === "string");
  return { invocation: typeof invocation === "string" ? invocation : "", message: message.slice(0, keptLength) };
}
