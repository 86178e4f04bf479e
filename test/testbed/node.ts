/** Controls a testbed machine, including actions such as pulling its network cable. */
import { rm, stat } from "node:fs/promises";
import { join } from "node:path";

import { boot, isOn, leaderOf } from "./boot.ts";
import { destroyGroup } from "./cgroup.ts";
import { must, run, succeeded } from "./command.ts";
import type { RunOptions, RunResult } from "./command.ts";
import { groupOf, nodeFolder } from "./layout.ts";
import type { Place } from "./layout.ts";
import { setLink } from "./network.ts";

/** A testbed machine. */
export interface TestbedNode extends Place {
  /** The path of the machine's root folder on the host. It is available even while the machine is off. */
  readonly root: string;
  /** The host process id of the machine's PID 1. Throws if the machine is off. */
  readonly leaderPid: number;
  /** Runs a command on the machine, as root. A non-zero exit status is a result, not an error. */
  run(argv: readonly string[], options?: RunOptions): Promise<RunResult>;
  /** Runs a command on the machine and returns its standard output. Throws if the command fails. */
  must(argv: readonly string[], options?: RunOptions): Promise<string>;
  /**
   * Copies a file or folder from the host to this path on the running machine. The owner becomes root; modes are
   * preserved.
   */
  copyIn(from: string, to: string): Promise<void>;
  /** Cuts the power. Every process on the machine ends immediately, and data written to its disk is kept. */
  powerOff(): Promise<void>;
  /** Boots from the same disk and waits until PID 1 accepts commands. Services may still be starting at that point. */
  powerOn(): Promise<void>;
  /** Pulls the network cable. The machine keeps running. */
  disconnect(): Promise<void>;
  /** Plugs the network cable back in. */
  connect(): Promise<void>;
  /**
   * Shifts a service's clock by this many seconds, from the service's next start until the machine's next boot. If the
   * service was started with a shifted clock, it sees a further change within a second. 0 restores the correct time.
   * The machines share the kernel's clock, so the clock of a whole machine cannot be set.
   */
  skewClock(unit: string, seconds: number): Promise<void>;
}

/** The time limit for all processes of a machine to end after its power is cut. */
const powerOffTimeoutMs = 20_000;

async function powerOff(id: string, name: string): Promise<void> {
  await destroyGroup(groupOf(id, name), AbortSignal.timeout(powerOffTimeoutMs));
  await rm(join(nodeFolder(id, name), "supervisor"), { force: true });
}

/**
 * Returns the handle of a machine whose disk already exists. This process or an earlier process has created the disk.
 */
export function nodeAt(id: string, place: Place): TestbedNode {
  const { name } = place;
  const enter = (argv: readonly string[]): readonly string[] => {
    return ["nsenter", "--target", String(leaderOf(id, name)), "--all", "--", ...argv];
  };
  const node: TestbedNode = {
    ...place,
    root: join(nodeFolder(id, name), "root"),
    get leaderPid() {
      return leaderOf(id, name);
    },
    run: async (argv, options) => run(enter(argv), options),
    must: async (argv, options) => succeeded([`${name}:`, ...argv], await node.run(argv, options)),
    // A process in the machine writes the files. The machine's /tmp and /run are not on its disk, and the host would
    // resolve symbolic links differently.
    copyIn: async (from, to) => {
      const source = await stat(from);
      const [read, write] = source.isDirectory()
        ? ['tar -C "$from" -c .', ["/bin/sh", "-ec", 'mkdir -p "$0" && tar --no-same-owner -C "$0" -x', to]]
        : ['cat "$from"', ["install", "-D", "-m", (source.mode & 0o7777).toString(8), "/dev/stdin", to]];
      await must([
        "/bin/bash",
        "-ec",
        `set -o pipefail; from=$1; shift; ${read} | "$@"`,
        "bash",
        from,
        ...enter(write),
      ]);
    },
    powerOff: async () => powerOff(id, name),
    powerOn: async () => {
      if (isOn(id, name)) throw new Error(`${name} is already on`);
      // After a shutdown or a failed boot, the machine's supervisor can still hold the disk's lock for a while.
      await powerOff(id, name);
      try {
        await boot(id, name);
      } catch (error) {
        await powerOff(id, name);
        throw error;
      }
    },
    disconnect: async () => setLink(id, name, "down"),
    connect: async () => setLink(id, name, "up"),
    skewClock: async (unit, seconds) => {
      const dropIn = `/run/systemd/system/${unit}.d/testbed-clock.conf`;
      // $LIB stands for the architecture's library folder. It is expanded by ld.so, not by systemd.
      const clock = `/run/testbed-clock.${unit}`;
      const environment = `LD_PRELOAD=/usr/$LIB/faketime/libfaketime.so.1 FAKETIME_TIMESTAMP_FILE=${clock} FAKETIME_CACHE_DURATION=1 DONT_FAKE_MONOTONIC=1`;
      // The file is replaced atomically, because a process that reads it must never find it incomplete.
      const set = 'printf "%s\\n" "$2" >"$3.new"; mv "$3.new" "$3"';
      const use =
        seconds === 0 ? 'rm -f "$0"' : 'mkdir -p "$(dirname "$0")"; printf "[Service]\\nEnvironment=%s\\n" "$1" >"$0"';
      const offset = `${seconds < 0 ? "" : "+"}${seconds}s`;
      await node.must([
        "/bin/sh",
        "-ec",
        `${set}; ${use}; systemctl daemon-reload`,
        dropIn,
        environment,
        offset,
        clock,
      ]);
    },
  };
  return node;
}
