import { readFile, statfs } from "node:fs/promises";
import { availableParallelism, loadavg, uptime } from "node:os";
import type { Machine } from "../../proto/gen/khw/agent/v1/agent.ts";
import { io } from "./io.ts";

/** Reads the facts about the machine that `khw-client status` shows. */
export interface MachineFacts {
  read(): Promise<Machine>;
}

const diskPath = "/var/lib";

/**
 * Creates the reader. Facts that never change are read only once. All other facts come from the kernel on each read.
 */
export function createMachineFacts(): MachineFacts {
  let system: Promise<{ readonly name: string; readonly kernel: string }> | undefined;
  return {
    read: async (): Promise<Machine> => {
      const [{ name, kernel }, memory, disk] = await Promise.all([
        (system ??= readSystem()),
        readMemory(),
        io(diskPath, "cannot read the free space", () => statfs(diskPath)),
      ]);
      return {
        operatingSystem: name,
        kernel,
        cpus: availableParallelism(),
        load: loadavg(),
        memoryTotal: memory.total,
        memoryAvailable: memory.available,
        diskTotal: disk.blocks * disk.bsize,
        diskAvailable: disk.bavail * disk.bsize,
        uptimeSeconds: Math.floor(uptime()),
      };
    },
  };
}

/**
 * Uses the npm package systeminformation, which can determine the distribution's name. Called only once, because the
 * package starts processes.
 */
async function readSystem(): Promise<{ name: string; kernel: string }> {
  const { osInfo } = await import("systeminformation");
  const { distro, release, kernel } = await osInfo();
  return { name: `${distro} ${release}`.trim(), kernel };
}

async function readMemory(): Promise<{ total: number; available: number }> {
  const text = await io("/proc/meminfo", "cannot read", () => readFile("/proc/meminfo", "utf8"));
  const bytes = (name: string): number => 1024 * Number(new RegExp(`^${name}: +(\\d+) kB$`, "m").exec(text)?.[1] ?? 0);
  return { total: bytes("MemTotal"), available: bytes("MemAvailable") };
}
