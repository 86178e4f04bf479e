import { KhwError, toKhwError } from "../../proto/errors.ts";
import { note } from "../progress/progress.ts";
import { type RestoreRun, runRestore, type RunOptions } from "./restore.ts";

/**
 * Runs a restore and shows its progress. Returns false if Ctrl-C stopped the restore between two phases.
 * @throws KhwError as runRestore does
 */
export async function showRestore(run: RestoreRun, { progress, signal }: RunOptions): Promise<boolean> {
  const { members } = run;
  progress.emit({ kind: "begin", tracks: members.map(({ node }) => node.address.name) });
  const outcome = await runRestore(run, { progress, signal }).catch(toKhwError);
  const error = outcome instanceof KhwError ? outcome : undefined;
  for (const { node } of members) progress.emit({ kind: "end", track: node.address.name, changed: 1, error });
  await progress.settled();
  if (outcome instanceof KhwError) throw outcome;
  if (!outcome) {
    note(progress, "interrupted: the machines stay locked; run the same command again to continue");
  }
  return outcome;
}
