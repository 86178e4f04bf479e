/** A machine's disk put back to an earlier state: what it wrote until then is a layer below a fresh one. */
import { chmod, mkdir, rename, rm } from "node:fs/promises";
import { join } from "node:path";

import { must, run } from "../testbed/command.ts";
import type { Testbed, TestbedNode } from "../testbed/index.ts";
import { diskFolder } from "../testbed/layout.ts";

/** Folders below a fresh disk, the uppermost first. */
export type Layers = readonly string[];

/** Sets aside what the machine has written so far, under this name. The machine is off. Gives the layer's folder. */
export async function setAside({ id }: Testbed, { name, root }: TestbedNode, label: string): Promise<string> {
  const disk = join(diskFolder(id), name);
  const layer = join(disk, `layer-${label}`);
  await unmount(root);
  await rename(join(disk, "upper"), layer);
  return layer;
}

/** Throws away what the machine has written and mounts a fresh disk on these layers. The machine is off. */
export async function freshDisk({ id }: Testbed, { name, root }: TestbedNode, layers: Layers): Promise<void> {
  const disk = join(diskFolder(id), name);
  const [upper, work] = [join(disk, "upper"), join(disk, "work")];
  await unmount(root);
  for (const folder of [upper, work]) {
    await rm(folder, { recursive: true, force: true });
    await mkdir(folder);
  }
  // The upper layer's own mode becomes the root's.
  await chmod(upper, 0o755);
  const options = `lowerdir=${layers.join(":")},upperdir=${upper},workdir=${work}`;
  await must(["mount", "-t", "overlay", "-o", options, "overlay", root]);
}

async function unmount(root: string): Promise<void> {
  // Lazily, as when the disk is removed: the mount leaves this machine's view at once.
  const unmounted = await run(["umount", "--lazy", root]);
  if (unmounted.code !== 0 && !unmounted.stderr.includes("not mounted")) {
    throw new Error(`${root}: ${unmounted.stderr.trim()}`);
  }
}
