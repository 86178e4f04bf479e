import { run } from "./run.ts";

/**
 * The last lines that one start of a unit wrote, oldest first: the unit's own, and systemd's about it ("Failed at step
 * EXEC ..."), which carry the invocation in a field of their own.
 */
export async function readJournal(invocation: string, lines: number): Promise<string[]> {
  const ended = await run(
    [
      "journalctl",
      "--no-pager",
      "--quiet",
      "--output=cat",
      `--lines=${lines}`,
      `_SYSTEMD_INVOCATION_ID=${invocation}`,
      "+",
      `INVOCATION_ID=${invocation}`,
      "_UID=0",
    ],
    { signal: AbortSignal.timeout(10_000), keep: lines },
  );
  return [...ended.lines];
}
