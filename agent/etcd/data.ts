import type { Files } from "../os/files.ts";
import { etcdMemberFolder } from "../paths.ts";

/** Whether the machine has a member's data. */
export async function hasData(files: Pick<Files, "stat">): Promise<boolean> {
  return (await files.stat(etcdMemberFolder))?.kind === "directory";
}
