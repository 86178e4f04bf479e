import { run } from "./run.ts";

/** What Kubernetes' programs and Go print at length and nobody looks for: the value of each flag, and stacks. */
const noise = /^\t|^\S+\(.*\)$|^created by |^goroutine \d+ \[|^$|\] FLAG: --|^\s+--?\w/;
const keptLines = 400;
const keptLength = 2000;

/** What a unit's journal has of one of its starts. */
export interface StartLines {
  /** systemd's ID of it in hex; empty where the journal does not have its beginning. */
  readonly invocation: string;
  /** The oldest first: the unit's own, and systemd's about it ("Failed at step EXEC ..."). */
  readonly lines: string[];
}

/**
 * The lines of a unit's last starts, the oldest start first, out of so many of its journal's last lines; without flags and
 * stacks. A line that came too late for the journal to know its start belongs to the one before it.
 */
export async function readStarts(unit: string, lines: number): Promise<StartLines[]> {
  const starts: StartLines[] = [];
  let kept = 0;
  const take = ({ invocation, message }: Told): void => {
    if (noise.test(message)) return;
    const start = invocation === "" ? starts.at(-1) : starts.find((known) => known.invocation === invocation);
    if (start === undefined) starts.push({ invocation, lines: [message] });
    else start.lines.push(message);
    for (kept += 1; kept > keptLines; kept -= 1) {
      starts[0]?.lines.shift();
      if (starts[0]?.lines.length === 0) starts.shift();
    }
  };
  // On a busy machine the journal is behind: what the program said last may still be on its way.
  await run(["journalctl", "--sync"], { signal: AbortSignal.timeout(20_000), keep: 1 });
  const fields = "--output-fields=MESSAGE,INVOCATION_ID,_SYSTEMD_INVOCATION_ID";
  // What systemd's child says when it cannot execute the program carries the unit's name, and comes from a process that is gone
  // before the journal has found out whose it was: `--unit` would miss it.
  const matches = [`_SYSTEMD_UNIT=${unit}`, "+", `UNIT=${unit}`, "_UID=0"];
  await run(["journalctl", "--no-pager", "--quiet", "--output=json", fields, `--lines=${lines}`, ...matches], {
    signal: AbortSignal.timeout(20_000),
    keep: 1,
    onLine: (line) => {
      const told = parseTold(line);
      if (told !== undefined) take(told);
    },
  });
  return starts;
}

interface Told {
  readonly invocation: string;
  readonly message: string;
}

/** Undefined for what is no line of text: bytes that are no UTF-8, or more of them than one line may have. */
function parseTold(line: string): Told | undefined {
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
  // systemd writes of a unit under its own invocation, and names the unit's beside it.
  const invocation = [systemds, own].find((id) => typeof id === "string");
  return { invocation: typeof invocation === "string" ? invocation : "", message: message.slice(0, keptLength) };
}
