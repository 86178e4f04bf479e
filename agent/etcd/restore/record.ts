import { Restore, RestorePhase } from "../../../proto/gen/khw/agent/v1/etcd.ts";
import type { Files } from "../../os/os.ts";

/** The machine's part in a restore, on disk: the last one, finished or not. */
export interface RestoreMark {
  current(): Restore | undefined;
  /** The one that was begun and not finished. */
  unfinished(): Restore | undefined;
  /** Durable when it resolves. */
  set(restore: Restore): Promise<void>;
}

const ended: ReadonlySet<RestorePhase> = new Set([
  RestorePhase.RESTORE_PHASE_FINISHED,
  RestorePhase.RESTORE_PHASE_ABANDONED,
]);

/** A record that cannot be read counts as none: the restore is asked for anew, and begins from the first phase. */
export async function openRestoreMark(files: Files, folder: string): Promise<RestoreMark> {
  const path = `${folder}/restore`;
  let current = decode(await files.read(path));
  return {
    current: () => current,
    unfinished: () => (current === undefined || ended.has(current.phase) ? undefined : current),
    set: async (restore) => {
      await files.mkdir(folder, 0o700);
      await files.write(path, Restore.encode(restore).finish(), 0o600);
      current = restore;
    },
  };
}

function decode(bytes: Uint8Array | undefined): Restore | undefined {
  if (bytes === undefined) return undefined;
  try {
    const restore = Restore.decode(bytes);
    return restore.id === "" ? undefined : restore;
  } catch {
    // Whatever the decoder says, it says of the bytes.
    return undefined;
  }
}
