import { dirname } from "node:path";
import { KhwError } from "../../proto/errors.ts";
import type { WithEtcd } from "../../proto/desired.ts";
import type { Files } from "../os/files.ts";
import { etcdDataFolder } from "../paths.ts";

/**
 * Returns an error unless etcd's data folder is a mount point. If the disk is not mounted, the folder is empty. The
 * member's data then appears to be lost, although it is safe on the disk.
 */
export async function missingDisk(files: Pick<Files, "stat">): Promise<KhwError | null> {
  const [own, parent] = await Promise.all([files.stat(etcdDataFolder), files.stat(dirname(etcdDataFolder))]);
  if (own?.kind === "directory" && own.device !== parent?.device) return null;
  return new KhwError("DISK_MISSING", `no disk is mounted at ${etcdDataFolder}, and etcd requires a dedicated disk`, {
    hint: "attach and mount the disk, and add it to /etc/fstab for later boots (`etcd.dedicatedDisk` in khw.yaml requires this disk)",
  });
}

/** @throws KhwError DISK_MISSING if a dedicated disk is required but not mounted */
export async function demandDisk({ etcd }: WithEtcd, files: Pick<Files, "stat">): Promise<void> {
  const missing = etcd.dedicatedDisk ? await missingDisk(files) : null;
  if (missing !== null) throw missing;
}
