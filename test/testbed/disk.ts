/** Creates a machine's disk, which is an overlay that adds the machine's own files to the shared base. */
import { randomBytes } from "node:crypto";
import { chmod, mkdir, rm, symlink, writeFile } from "node:fs/promises";
import { join } from "node:path";

import { must, run } from "./command.ts";
import { diskFolder, gateway, metadataAddress, nodeFolder, ports, project } from "./layout.ts";
import type { Place } from "./layout.ts";

/**
 * The file in a machine that tells the host when PID 1 accepts commands. The host bind-mounts a pipe over this file.
 */
export const readyPipe = "/run/testbed-ready";

// The unit opens the pipe for reading as well. After a reboot from inside the machine, nobody reads the pipe, so
// opening it only for writing would block.
const readyUnit = `[Unit]
Description=Reports to the testbed that this machine accepts commands
After=basic.target dbus.service

[Service]
Type=oneshot
ExecStart=/bin/sh -c 'echo ready 1<>${readyPipe}'

[Install]
WantedBy=multi-user.target
`;

/** The options for a machine's disk. */
export interface Disk {
  readonly id: string;
  readonly place: Place;
  /** All machines of the testbed. Each machine can resolve the names of the others. */
  readonly all: readonly Place[];
  /** The layers of the shared root file system, from top to bottom. Machines never write to these layers. */
  readonly base: readonly string[];
}

/** Mounts a new disk for a machine and writes the machine's identity to it. Returns the disk's root folder. */
export async function makeDisk({ id, place, all, base }: Disk): Promise<string> {
  const layers = join(diskFolder(id), place.name);
  const [upper, work] = [join(layers, "upper"), join(layers, "work")];
  const root = join(nodeFolder(id, place.name), "root");
  for (const folder of [upper, work, root]) await mkdir(folder, { recursive: true });
  // The mounted root folder takes its mode from the upper layer.
  await chmod(upper, 0o755);
  await must([
    "mount",
    "-t",
    "overlay",
    "-o",
    `lowerdir=${base.join(":")},upperdir=${upper},workdir=${work}`,
    "overlay",
    root,
  ]);

  const write = (path: string, text: string, mode = 0o644): Promise<void> =>
    writeFile(join(root, path), text, { mode });
  await write("etc/hostname", `${place.name}\n`);
  await write("etc/machine-id", `${randomBytes(16).toString("hex")}\n`);
  await write("etc/hosts", hosts(all));
  await write("etc/apt/sources.list", `deb [trusted=yes] http://${gateway}:${ports.packages}/ ./\n`);
  await write("etc/systemd/system/testbed-ready.service", readyUnit);
  await symlink(
    "../testbed-ready.service",
    join(root, "etc/systemd/system/multi-user.target.wants/testbed-ready.service"),
  );
  return root;
}

/** Unmounts and deletes a disk made by {@link makeDisk}. Does nothing if the disk does not exist. */
export async function removeDisk(id: string, place: Place): Promise<void> {
  const root = join(nodeFolder(id, place.name), "root");
  // With a lazy unmount, the mount disappears immediately, even if another process is still using it.
  const unmounted = await run(["umount", "--lazy", root]);
  if (unmounted.code !== 0 && !/not mounted|not found|no mount point/.test(unmounted.stderr)) {
    throw new Error(`${root}: ${unmounted.stderr.trim()}`);
  }
  await rm(join(diskFolder(id), place.name), { recursive: true, force: true });
}

function hosts(all: readonly Place[]): string {
  const domain = `c.${project.id}.internal`;
  return [
    "127.0.0.1 localhost",
    `${metadataAddress} metadata.google.internal metadata`,
    ...all.map(({ name, address }) => `${address} ${name}.${domain} ${name}`),
    "",
  ].join("\n");
}
