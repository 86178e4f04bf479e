import { open, rename, rm } from "node:fs/promises";
import { basename, dirname, join } from "node:path";

/**
 * Returns the path of the temporary file that receives a file's new contents first. The temporary file is a hidden file
 * in the same folder, and always has the same name. The next write therefore replaces a file that a crash left behind,
 * and temporary files do not accumulate.
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

/**
 * Calls `make` to create a temporary file, then renames the file to the path. A failure leaves no temporary file
 * behind.
 */
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
