import { type FSWatcher, watch } from "node:fs";
import { stat } from "node:fs/promises";
import { dirname } from "node:path";
import { coalesce } from "./coalesce.ts";
import { orAbsent } from "./io.ts";

/** All changes within this time are reported together, because editors write a file in several steps. */
const settleMillis = 50;

/** The path that is watched for a folder: the folder itself or, if it is missing, its nearest existing parent. */
interface Watched {
  readonly path: string;
  readonly identity: string;
  readonly watcher: FSWatcher;
}

/**
 * Watches folders with inotify. inotify cannot watch a missing folder, and stops watching a folder that is removed or
 * moved. Each event therefore makes this function check every folder again. If a folder is missing, its nearest
 * existing parent is watched instead.
 */
export function watchFolders(folders: readonly string[], listener: () => void): () => void {
  const watched = new Map<string, Watched>();
  let stopped = false;
  let timer: NodeJS.Timeout | undefined;

  const tell = (): void => {
    if (!stopped) listener();
  };
  const heard = (): void => {
    if (stopped) return;
    timer ??= setTimeout(() => {
      timer = undefined;
      // Calls the listener only after the watches are renewed, so that no change in between is missed.
      renew().then(tell, tell);
    }, settleMillis);
  };
  const renew = coalesce(async () => {
    for (const folder of new Set(folders)) await renewOne(folder);
  });
  const renewOne = async (folder: string): Promise<void> => {
    const { path, identity } = await nearest(folder);
    const known = watched.get(folder);
    if (stopped || (known?.path === path && known.identity === identity)) return;
    known?.watcher.close();
    watched.delete(folder);
    const watcher = tryWatch(path, heard);
    // The path has disappeared in the meantime, or the machine has no inotify watches left. The next periodic check
    // then finds the changes.
    if (watcher === undefined) return;
    watched.set(folder, { path, identity, watcher });
    // The folder or a nearer parent may have appeared in the meantime.
    if (path !== folder && (await nearest(folder)).path !== path) heard();
  };

  // Calls the listener once at the start, because changes may have happened before the first watch.
  renew().then(heard, heard);
  return () => {
    stopped = true;
    clearTimeout(timer);
    for (const { watcher } of watched.values()) watcher.close();
    watched.clear();
  };
}

/**
 * Returns the folder or, if it is missing, its nearest existing parent. The identity includes the birth time, because
 * inodes are reused.
 */
async function nearest(folder: string): Promise<Pick<Watched, "path" | "identity">> {
  const facts = await orAbsent(() => stat(folder, { bigint: true }));
  if (facts?.isDirectory() !== true && folder !== "/") return nearest(dirname(folder));
  return { path: folder, identity: `${facts?.dev} ${facts?.ino} ${facts?.birthtimeNs}` };
}

function tryWatch(path: string, heard: () => void): FSWatcher | undefined {
  try {
    const watcher = watch(path, { persistent: false }, heard);
    watcher.on("error", heard);
    return watcher;
  } catch {
    return undefined;
  }
}
