/** Bootstraps the control plane with khw. */
import type { Testbed } from "../testbed/index.ts";
import { agentPackage, installAgents, makeWorkstation } from "../testbed/workstation.ts";
import type { Workstation } from "../testbed/workstation.ts";
import { type Bootstrap, timeBootstrap } from "./serving.ts";
import { secondsOf } from "./time.ts";

/**
 * Both khw and the lab's commands use the lab's version number. The testbed serves Debian's 1.20 binaries under this
 * version number.
 */
const version = ["--kubernetes-version", "v1.21.0"];

/**
 * The durations of a run, in seconds. For khw, `ended` includes the time until the target pool's backends are healthy.
 * The lab does not wait for them.
 */
export interface KhwRun extends Bootstrap {
  /** The time to install the agents. Agents are installed once per machine. The lab has no corresponding step. */
  readonly installed: number;
  /** The duration of a second run of the same command. */
  readonly again: number;
}

/** Returns khw-client's arguments that select all nodes. */
export function nodesOf(testbed: Testbed): readonly string[] {
  return ["--nodes", testbed.nodes.map(({ name }) => name).join(",")];
}

/** Bootstraps a new testbed, then runs the same command again. */
export async function runKhw(testbed: Testbed): Promise<{ readonly run: KhwRun; readonly workstation: Workstation }> {
  const workstation = await makeWorkstation(testbed);
  const installed = await secondsOf(installAgents(workstation, testbed.nodes, agentPackage));
  const bootstrap = (): Promise<string> => workstation.mustKhw(["bootstrap", ...nodesOf(testbed), ...version]);
  const first = await timeBootstrap(testbed, bootstrap);
  const again = await secondsOf(bootstrap());
  return { run: { ...first, installed, again }, workstation };
}
