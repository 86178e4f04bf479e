/**
 * A bootstrapped cluster that can be restored any number of times.
 */
import { rm } from "node:fs/promises";
import { join } from "node:path";

import { must, succeeded } from "../testbed/command.ts";
import { startTestbed, type Testbed } from "../testbed/index.ts";
import { diskFolder } from "../testbed/layout.ts";
import { prepare } from "../testbed/prepare.ts";
import { agentPackage, installAgents, makeWorkstation, type Workstation } from "../testbed/workstation.ts";
import { readTrees, type Trees } from "./cluster-trees.ts";
import { freshDisk, setAside } from "./layers.ts";
import { clusterIsHealthy, listOf, type Scenario } from "./scenarios.ts";
import { agentListens } from "./stage.ts";
import type { Digests } from "./tree.ts";

/** Disposing of the stage takes the testbed down. */
export interface CommandStage extends AsyncDisposable {
  readonly testbed: Testbed;
  readonly workstation: Workstation;
  readonly digests: Digests;
  /** The trees of the machines and the workstation before the bootstrap. */
  readonly bare: Trees;
  /** Restores the machines' disks, the workstation and the cloud to their state after the bootstrap. */
  restore(): Promise<void>;
}

type Start = Pick<Scenario, "machines" | "before">;

/**
 * The divisor for the load balancer's probe interval. Without this divisor, waiting for probes would take most of the
 * time.
 */
const probeScale = 5;

/** Boots all machines, and bootstraps the scenario's initial controllers. */
export async function openCommandStage({ machines, before }: Start): Promise<CommandStage> {
  const testbed = await startTestbed({ nodes: machines, withEtcd: false, probeScale });
  try {
    const workstation = await makeWorkstation(testbed);
    await installAgents(workstation, testbed.nodes, agentPackage);
    const digests: Digests = new Map();
    const bare = await readTrees({ testbed, workstation, digests });
    const bootstrap = ["bootstrap", ...listOf(before)];
    succeeded(["khw-client", ...bootstrap], await workstation.khw(bootstrap));
    const restore = await takeStart({ testbed, workstation, before });
    return { testbed, workstation, digests, bare, restore, [Symbol.asyncDispose]: () => testbed.stop() };
  } catch (error) {
    await testbed.stop();
    throw error;
  }
}

/** Saves the cluster's current state as the starting state of each run. Returns a function that restores this state. */
async function takeStart({
  testbed,
  workstation,
  before,
}: Pick<CommandStage, "testbed" | "workstation"> & Pick<Start, "before">): Promise<() => Promise<void>> {
  const { base } = await prepare("bookworm");
  const layers = new Map<string, string>();
  for (const node of testbed.nodes) {
    await node.must(["sync"]);
    await node.powerOff();
    layers.set(node.name, await setAside(testbed, node, "start"));
  }
  const folders = [workstation.folder, testbed.credentials];
  const copies = join(diskFolder(testbed.id), "start");
  await must(["mkdir", "--parents", copies]);
  for (const [index, folder] of folders.entries()) await must(["cp", "--archive", folder, join(copies, `${index}`)]);
  // A resource must exist before another resource refers to it.
  const { resources } = await testbed.compute.state();
  const put = Object.fromEntries(Object.entries(resources).toSorted(([a], [b]) => references(a) - references(b)));
  return async () => {
    for (const node of testbed.nodes) {
      await node.powerOff();
      await freshDisk(testbed, node, [layers.get(node.name) ?? "", base]);
    }
    for (const [index, folder] of folders.entries()) {
      await rm(folder, { recursive: true, force: true });
      await must(["cp", "--archive", join(copies, `${index}`), folder]);
    }
    await testbed.compute.changeState({ reset: true, put });
    await Promise.all(
      testbed.nodes.map(async (node) => {
        await node.powerOn();
        await agentListens(node);
      }),
    );
    await clusterIsHealthy({ nodes: testbed.nodes, workstation }, before);
  };
}

/** Returns a larger number for resources that refer to other resources. */
function references(path: string): number {
  return path.includes("/forwardingRules/") ? 2 : path.includes("/targetPools/") ? 1 : 0;
}
