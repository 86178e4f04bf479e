import { statfs } from "node:fs/promises";
import { dirname } from "node:path";
import { orAbsent } from "./io.ts";

/** Returns how many bytes root can still write to the file system that contains a path. The path need not exist yet. */
export async function freeSpace(path: string): Promise<number> {
  const stats = await orAbsent(() => statfs(path));
  // Uses bfree instead of bavail, because root may use the reserved space.
  return stats === undefined ? freeSpace(dirname(path)) : stats.bfree * stats.bsize;
}
