/** khw's way to the control plane. */
import type { Testbed } from "../testbed/index.ts";
import { agentPackage, installAgents, makeWorkstation } from "../testbed/workstation.ts";
import type { Workstation } from "../testbed/workstation.ts";
import { type Bootstrap, timeBootstrap } from "./serving.ts";
import { secondsOf } from "./time.ts";

/** The lab's version on both sides; the testbed serves Debian's 1.20 under its name. */
const version = ["--kubernetes-version", "v1.21.0"];

/** Seconds of one run. khw's `ended` is when the backends, too, are healthy in the target pool, which the lab does not wait for. */
export interface KhwRun extends Bootstrap {
  /** Installing the agents, once in a machine's life; the lab has nothing of the kind. */
  readonly installed: number;
  /** The same command again. */
  readonly again: number;
}

/** The nodes' names as khw-client takes them. */
export function nodesOf(testbed: Testbed): readonly string[] {
  return ["--nodes", testbed.nodes.map(({ name }) => name).join(",")];
}

/** Bootstraps a fresh testbed, and once more. */
export async function runKhw(testbed: Testbed): Promise<{ readonly run: KhwRun; readonly workstation: Workstation }> {
  const workstation = await makeWorkstation(testbed);
  const installed = await secondsOf(installAgents(workstation, testbed.nodes, agentPackage));
  const bootstrap = (): Promise<string> => workstation.mustKhw(["bootstrap", ...nodesOf(testbed), ...version]);
  const first = await timeBootstrap(testbed, bootstrap);
  const again = await secondsOf(bootstrap());
  return { run: { ...first, installed, again }, workstation };
}
