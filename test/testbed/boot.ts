/** Boots a machine from its disk, with a real systemd, in a separate container. */
import { spawn } from "node:child_process";
import { constants, openSync, readFileSync } from "node:fs";
import { open, readFile, rm, writeFile } from "node:fs/promises";
import { Socket } from "node:net";
import { join } from "node:path";

import { inGroup, makeGroup } from "./cgroup.ts";
import { must, plainEnvironment } from "./command.ts";
import { readyPipe } from "./disk.ts";
import { isErrno } from "../../proto/errno.ts";
import { groupOf, namespaceOf, namespacePath, nodeFolder } from "./layout.ts";

/** The time limit for a boot, which usually takes 3 seconds, or 45 seconds at a load average of 30. */
const bootTimeoutMs = 180_000;

/**
 * Boots a machine whose disk is mounted, and waits until its PID 1 accepts commands. On failure, the error contains the
 * last lines of the console.
 */
export async function boot(id: string, name: string): Promise<void> {
  const folder = nodeFolder(id, name);
  const [pipe, consoleLog] = [join(folder, "ready"), join(folder, "console.log")];
  await rm(pipe, { force: true });
  await must(["mkfifo", "--mode=600", pipe]);
  const groups = await makeGroup(groupOf(id, name));
  const log = await open(consoleLog, "w");
  // Opens both ends of the pipe at once, because opening only one end would block. The socket reports the data as an
  // event.
  const ready = new Socket({ fd: openSync(pipe, constants.O_RDWR | constants.O_NONBLOCK), readable: true });

  try {
    const argv = [
      "systemd-nspawn",
      "--quiet",
      "--boot",
      "--register=no",
      "--keep-unit",
      "--link-journal=no",
      "--resolv-conf=off",
      "--timezone=off",
      "--capability=all",
      `--machine=${name}`,
      `--directory=${join(folder, "root")}`,
      `--network-namespace-path=${namespacePath(namespaceOf(id, name))}`,
      `--bind=${pipe}:${readyPipe}`,
    ];
    const [file = "", ...args] = inGroup(groups, argv);
    const supervisor = spawn(file, args, {
      detached: true,
      env: plainEnvironment,
      stdio: ["ignore", log.fd, log.fd],
    });
    await new Promise<void>((resolve, reject) => {
      const deadline = AbortSignal.timeout(bootTimeoutMs);
      deadline.addEventListener("abort", () => reject(new Error(`not up after ${bootTimeoutMs / 1000} s`)));
      supervisor.once("error", reject);
      supervisor.once("exit", (code, signal) => reject(new Error(`systemd-nspawn ended: ${signal ?? code}`)));
      ready.once("data", () => resolve());
    });
    supervisor.removeAllListeners("exit");
    supervisor.unref();
    await writeFile(join(folder, "supervisor"), String(supervisor.pid));
  } catch (cause) {
    const last = (await readFile(consoleLog, "utf8")).trim().split("\n").slice(-15).join("\n");
    throw new Error(`${name} does not boot; its console's last lines:\n${last}`, { cause });
  } finally {
    ready.destroy();
    await log.close();
  }
}

/** Returns the host process id of a machine's PID 1. Throws if the machine is off. */
export function leaderOf(id: string, name: string): number {
  const leader = findLeader(id, name);
  if (leader === undefined) throw new Error(`${name} is off`);
  return leader;
}

/** Whether the machine has a PID 1. */
export function isOn(id: string, name: string): boolean {
  return findLeader(id, name) !== undefined;
}

function findLeader(id: string, name: string): number | undefined {
  // PID 1 is looked up on every call. After a reboot from inside the machine, the same supervisor has a new child.
  try {
    const supervisor = readFileSync(join(nodeFolder(id, name), "supervisor"), "utf8");
    const leader = Number(readFileSync(`/proc/${supervisor}/task/${supervisor}/children`, "utf8").split(" ")[0]);
    if (leader > 0 && readFileSync(`/proc/${leader}/cgroup`, "utf8").includes(groupOf(id, name))) return leader;
  } catch (error) {
    if (!isErrno(error, "ENOENT", "ESRCH")) throw error;
  }
  return undefined;
}
