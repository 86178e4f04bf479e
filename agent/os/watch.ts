import { type FSWatcher, watch } from "node:fs";
import { stat } from "node:fs/promises";
import { dirname } from "node:path";
import { coalesce } from "./coalesce.ts";
import { orAbsent } from "./io.ts";

/** What happens together is told once: an editor writes a file by several steps. */
const settleMillis = 50;

/** What is being watched for a folder: the folder itself, or where it is missing its nearest parent that is there. */
interface Watched {
  readonly path: string;
  readonly identity: string;
  readonly watcher: FSWatcher;
}

/**
 * Hears of changes in folders by inotify, which tells nothing of a folder that does not exist, and nothing more of one that
 * was removed or moved: so after each event each folder is looked at again, and its nearest parent watched while it is away.
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
      // Told only when it is watched again, so that nothing is missed between the two.
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
    // It went between the two looks, or the machine has no watch left to give: then the next check by time must do.
    if (watcher === undefined) return;
    watched.set(folder, { path, identity, watcher });
    // It came between the two looks.
    if (path !== folder && (await nearest(folder)).path !== path) heard();
  };

  // So that what changed before the first watch was there is looked for as well.
  renew().then(heard, heard);
  return () => {
    stopped = true;
    clearTimeout(timer);
    for (const { watcher } of watched.values()) watcher.close();
    watched.clear();
  };
}

/** The folder, or its nearest parent that is there. The time of its birth is part of which it is, since inodes are used again. */
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
