import { open } from "node:fs/promises";
import { isErrno } from "../../proto/errno.ts";
import { KhwError } from "../../proto/errors.ts";
import { refuseForeign } from "../config/ownership.ts";
import { replaceFile } from "../files/replace.ts";
import { describeProgram, formatLock, type LockEntry, parseLock } from "./entries.ts";
import { whileHeld } from "./mutex.ts";

const longestBytes = 4 * 1024 * 1024;

/** Returns the entries of khw.lock; an empty list if the file does not exist. @throws KhwError CONFIG_INVALID */
export async function readLock(path: string): Promise<readonly LockEntry[]> {
  try {
    await using handle = await open(path);
    const found = await handle.stat();
    refuseForeign(path, found, { uid: process.getuid?.(), env: process.env });
    if (!found.isFile() || found.size > longestBytes) throw new Error("it must be a regular file of at most 4 MiB");
    return parseLock(await handle.readFile("utf8"), path);
  } catch (cause) {
    if (cause instanceof KhwError) throw cause;
    if (isErrno(cause, "ENOENT")) return [];
    const reason = cause instanceof Error ? cause.message : String(cause);
    throw new KhwError("CONFIG_INVALID", `${path} cannot be read: ${reason}`, { cause });
  }
}

/**
 * Adds entries to khw.lock. Another client may add entries at the same time; existing entries never change.
 * @returns the new entries
 * @throws KhwError DIGEST_MISMATCH if the file now has a different digest for one of the programs; IO_FAILED
 */
export async function addToLock(path: string, additions: readonly LockEntry[]): Promise<readonly LockEntry[]> {
  if (additions.length === 0) return [];
  return whileHeld(path, async () => {
    const present = await readLock(path);
    const fresh = additions.filter((entry) => {
      const found = findEntry(present, entry);
      if (found !== undefined && found.sha256 !== entry.sha256) throw mismatch(path, found, entry);
      return found === undefined;
    });
    if (fresh.length > 0) await replaceFile(path, formatLock([...present, ...fresh]), 0o644);
    return fresh;
  });
}

/** Returns the entry for the wanted program, release and architecture. */
export function findEntry(
  entries: readonly LockEntry[],
  wanted: Pick<LockEntry, "program" | "version" | "arch">,
): LockEntry | undefined {
  return entries.find((entry) => describeProgram(entry) === describeProgram(wanted));
}

function mismatch(path: string, found: LockEntry, { sha256, source }: LockEntry): KhwError {
  return new KhwError(
    "DIGEST_MISMATCH",
    `${describeProgram(found)}: SHA-256 is ${sha256} (${source}), but ${path} has ${found.sha256} (${found.source})`,
    { hint: `check which digest the release published; if the file is wrong, remove the entry from ${path}` },
  );
}
