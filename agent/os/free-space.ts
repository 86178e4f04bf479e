import { statfs } from "node:fs/promises";
import { dirname } from "node:path";
import { orAbsent } from "./io.ts";

/** Bytes that root may still write to the file system that holds the (perhaps not yet existing) path. */
export async function freeSpace(path: string): Promise<number> {
  const stats = await orAbsent(() => statfs(path));
  // bfree, not bavail: root may use the space that is reserved for it.
  return stats === undefined ? freeSpace(dirname(path)) : stats.bfree * stats.bsize;
}
