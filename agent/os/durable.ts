import { open, rename, rm } from "node:fs/promises";
import { basename, dirname, join } from "node:path";

/**
 * Returns the path where a file's next content is written: hidden, in the same folder, and always with the same name.
 * The next run thus overwrites anything that a crash left there, and no such files pile up.
 */
export function temporaryOf(path: string): string {
  return join(dirname(path), `.${basename(path)}.khw-new`);
}

/** Syncs a folder, so that its names survive a power loss. */
export async function syncFolder(folder: string): Promise<void> {
  await using handle = await open(folder, "r");
  await handle.sync();
}

/** Renames a finished, synced temporary file, link or empty folder to its final path. */
export async function settle(temporary: string, path: string): Promise<void> {
  await rename(temporary, path);
  await syncFolder(dirname(path));
}

/** Calls `make` to fill the temporary file of the path, then renames it. A failure leaves nothing behind. */
export async function replace(path: string, make: (temporary: string) => Promise<void>): Promise<void> {
  const temporary = temporaryOf(path);
  await rm(temporary, { recursive: true, force: true });
  try {
    await make(temporary);
    await settle(temporary, path);
  } catch (error) {
    await rm(temporary, { recursive: true, force: true });
    throw error;
  }
}
