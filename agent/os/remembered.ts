import type { BigIntStats } from "node:fs";
import { open, stat } from "node:fs/promises";
import type { FileHandle } from "node:fs/promises";

export interface RememberedOptions<T> {
  readonly derive: (handle: FileHandle) => Promise<T>;
  /** The maximum number of cached files; the oldest entries are dropped first. */
  readonly most: number;
}

/**
 * A file must be unchanged for this time before the value derived from it is cached. The kernel's timestamps advance
 * only once per tick (at most 10 ms). A second change within the same tick would be missed.
 */
const tickNanos = 20_000_000n;

/**
 * Returns a function that derives a value from a file's contents, and caches the value until the file changes. The
 * cache is keyed by inode, not by path. A cached value costs a single stat(2). Symbolic links are followed.
 */
export function createRemembered<T>({ derive, most }: RememberedOptions<T>): (path: string) => Promise<T> {
  const known = new Map<string, { readonly value: T }>();
  return async (path) => {
    const remembered = known.get(identityOf(await stat(path, { bigint: true })));
    if (remembered !== undefined) return remembered.value;

    await using handle = await open(path, "r");
    const before = await handle.stat({ bigint: true });
    const value = await derive(handle);
    const after = await handle.stat({ bigint: true });
    const settled = BigInt(Date.now()) * 1_000_000n - after.ctimeNs > tickNanos;
    if (settled && identityOf(before) === identityOf(after)) known.set(identityOf(after), { value });
    if (known.size > most) known.delete(known.keys().next().value ?? "");
    return value;
  };
}

function identityOf({ dev, ino, size, mtimeNs, ctimeNs }: BigIntStats): string {
  return [dev, ino, size, mtimeNs, ctimeNs].join(" ");
}
