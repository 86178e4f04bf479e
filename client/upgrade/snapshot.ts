import type { OpenCluster } from "../cluster/open.ts";
import { isManaged } from "../config/desired.ts";
import { takeSnapshot } from "../etcd/take-snapshot.ts";
import { note, type ProgressOptions } from "../progress/progress.ts";

/**
 * Takes a verified snapshot before a release changes. Returns its id; empty if khw does not manage etcd.
 * @throws KhwError NOT_READY if no etcd member answers
 */
export async function snapshotBefore(
  { config, members }: Pick<OpenCluster, "config" | "members">,
  purpose: string,
  { progress, signal }: ProgressOptions,
): Promise<string> {
  if (!isManaged(config)) return "";
  const { snapshot, node } = await takeSnapshot(members, { signal, purpose });
  note(progress, `snapshot ${snapshot.id} on ${node}: taken and verified before the change`);
  return snapshot.id;
}
