import { Restore, RestorePhase } from "../../../proto/gen/khw/agent/v1/etcd.ts";
import type { Files } from "../../os/files.ts";
import { openRecordFile } from "../../state/record-file.ts";

/** The durable record of the machine's last restore, finished or not. */
export interface RestoreRecord {
  current(): Restore | undefined;
  /** The restore that has begun and has not finished. */
  unfinished(): Restore | undefined;
  /** The reason why the record cannot be read; undefined if the record is readable or absent. */
  damage(): string | undefined;
  /** The record is durable when the promise resolves. */
  set(restore: Restore): Promise<void>;
}

const ended: ReadonlySet<RestorePhase> = new Set([
  RestorePhase.RESTORE_PHASE_FINISHED,
  RestorePhase.RESTORE_PHASE_ABANDONED,
]);

/**
 * Opens the record. `damage` reports an unreadable record; in that case the restore must be requested again, and starts
 * with the first phase.
 */
export async function openRestoreRecord(files: Files, folder: string): Promise<RestoreRecord> {
  const record = await openRecordFile(files, `${folder}/restore`, { encode, decode });
  let current = record.found;
  return {
    current: () => current,
    unfinished: () => (current === undefined || ended.has(current.phase) ? undefined : current),
    damage: record.damage,
    set: async (restore) => {
      await record.write(restore);
      current = restore;
    },
  };
}

function encode(restore: Restore): Uint8Array {
  return Restore.encode(restore).finish();
}

function decode(bytes: Uint8Array): Restore {
  const restore = Restore.decode(bytes);
  if (restore.id === "") throw new Error("it names no restore");
  return restore;
}
