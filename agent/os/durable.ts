import { open, rename, rm } from "node:fs/promises";
import { basename, dirname, join } from "node:path";

/**
 * Where a file's next content is made: hidden, in the same folder, and always of the same name, so that what a crash
 * left there is overwritten by the next run instead of piling up.
 */
export function temporaryOf(path: string): string {
  return join(dirname(path), `.${basename(path)}.khw-new`);
}

/** Makes the names in a folder outlive a loss of power. */
export async function syncFolder(folder: string): Promise<void> {
  await using handle = await open(folder, "r");
  await handle.sync();
}

/** Puts a finished, synced temporary file, link or empty folder in its place. */
export async function settle(temporary: string, path: string): Promise<void> {
  await rename(temporary, path);
  await syncFolder(dirname(path));
}

/** Has `make` fill the path's temporary, then settles it; a failure leaves nothing behind. */
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
