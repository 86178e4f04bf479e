import type { Files } from "../os/files.ts";
import { etcdMemberFolder } from "../paths.ts";

/** Whether the machine has the data of an etcd member. */
export async function hasData(files: Pick<Files, "stat">): Promise<boolean> {
  return (await files.stat(etcdMemberFolder))?.kind === "directory";
}
