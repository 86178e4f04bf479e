/**
 * Restores a machine's disk to an earlier state. A layer below each new disk contains all writes up to that state.
 */
import { chmod, mkdir, rename, rm } from "node:fs/promises";
import { join } from "node:path";

import { must, run } from "../testbed/command.ts";
import type { Testbed, TestbedNode } from "../testbed/index.ts";
import { diskFolder } from "../testbed/layout.ts";

/** The folders of the layers below a new disk, with the uppermost layer first. */
export type Layers = readonly string[];

/**
 * Turns everything that the machine has written into a layer with this label. The machine must be off. Returns the
 * layer's folder.
 */
export async function setAside({ id }: Testbed, { name, root }: TestbedNode, label: string): Promise<string> {
  const disk = join(diskFolder(id), name);
  const layer = join(disk, `layer-${label}`);
  await unmount(root);
  await rename(join(disk, "upper"), layer);
  return layer;
}

/** Discards the machine's writes and mounts a new disk on these layers. The machine must be off. */
export async function freshDisk({ id }: Testbed, { name, root }: TestbedNode, layers: Layers): Promise<void> {
  const disk = join(diskFolder(id), name);
  const [upper, work] = [join(disk, "upper"), join(disk, "work")];
  await unmount(root);
  for (const folder of [upper, work]) {
    await rm(folder, { recursive: true, force: true });
    await mkdir(folder);
  }
  // The mounted root gets its mode from the upper layer.
  await chmod(upper, 0o755);
  const options = `lowerdir=${layers.join(":")},upperdir=${upper},workdir=${work}`;
  await must(["mount", "-t", "overlay", "-o", options, "overlay", root]);
}

async function unmount(root: string): Promise<void> {
  // A lazy unmount has the same effect as removing the disk. The mount disappears from this machine at once.
  const unmounted = await run(["umount", "--lazy", root]);
  if (unmounted.code !== 0 && !unmounted.stderr.includes("not mounted")) {
    throw new Error(`${root}: ${unmounted.stderr.trim()}`);
  }
}
