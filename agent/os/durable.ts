import { open, rename, rm } from "node:fs/promises";
import { basename, dirname, join } from "node:path";

/**
 * Returns the path where a file's new contents are written first. This is a hidden file in the same folder, and its
 * name is always the same. The next write therefore replaces anything that a crash left there, and temporary files do
 * not pile up.
 */
export function temporaryOf(path: string): string {
  return join(dirname(path), `.${basename(path)}.khw-new`);
}

/** Syncs a folder, so that its entries survive a power failure. */
export async function syncFolder(folder: string): Promise<void> {
  await using handle = await open(folder, "r");
  await handle.sync();
}

/** Renames a finished, synced temporary file, link or empty folder to its final path. */
export async function settle(temporary: string, path: string): Promise<void> {
  await rename(temporary, path);
  await syncFolder(dirname(path));
}

/** Calls `make` to create a temporary file for the path, then renames that file. A failure leaves nothing behind. */
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
