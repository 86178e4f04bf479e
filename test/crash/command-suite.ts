/**
 * The crash suite for commands that change a running cluster. Each point starts with the same machines: their disks,
 * the workstation and the cloud are restored to their state before the command.
 */
import { rm } from "node:fs/promises";
import { join } from "node:path";

import { must, succeeded } from "../testbed/command.ts";
import { startTestbed, type Testbed } from "../testbed/index.ts";
import { diskFolder } from "../testbed/layout.ts";
import { prepare } from "../testbed/prepare.ts";
import { agentPackage, installAgents, makeWorkstation, type Workstation } from "../testbed/workstation.ts";
import { compareClusters, machinesOf, readTrees, type Trees } from "./cluster-trees.ts";
import { formatDifferences } from "./compare.ts";
import { freshDisk, setAside } from "./layers.ts";
import { chooseRunningPoints } from "./points.ts";
import { cutShort, undisturbed } from "./run.ts";
import type { Subject } from "./running.ts";
import {
  clusterIsHealthy,
  etcdIsHealthy,
  listOf,
  problemsAfter,
  type Scenario,
  type ScenarioName,
  scenarios,
} from "./scenarios.ts";
import { agentListens } from "./stage.ts";
import type { Suite, SuiteOptions } from "./suite.ts";
import type { Digests } from "./tree.ts";

/**
 * Prepares the cluster of a scenario, then runs the command undisturbed.
 * @throws when two undisturbed runs do not agree, or when a command that undoes a bootstrap leaves something behind
 */
export async function openCommandSuite(name: ScenarioName, { quick = false }: SuiteOptions = {}): Promise<Suite> {
  const scenario: Scenario = scenarios[name];
  const testbed = await startTestbed({ nodes: scenario.machines, withEtcd: false, probeScale });
  try {
    const workstation = await makeWorkstation(testbed);
    await installAgents(workstation, testbed.nodes, agentPackage);
    const cluster: Cluster = { testbed, workstation, scenario, digests: new Map() };
    const bare = scenario.undoes === true ? await readTrees(cluster) : undefined;
    const bootstrap = ["bootstrap", ...listOf(scenario.before)];
    succeeded(["khw-client", ...bootstrap], await workstation.khw(bootstrap));
    const restore = await takeStart(cluster);

    const subject = subjectOf(cluster);
    const once = async () => {
      await restore();
      return { events: await undisturbed(subject), trees: await settled(cluster) };
    };
    const { events, trees: reference } = await once();
    if (bare !== undefined) agree(machinesOf(bare), machinesOf(reference), scenario);
    if (!quick) agree(reference, (await once()).trees, scenario);
    const names = testbed.nodes.map((node) => node.name);
    return {
      points: (options) =>
        chooseRunningPoints({ ...options, events: { prepared: events }, starts: ["prepared"], nodes: names }),
      crash: async (point) => {
        await restore();
        const killed = await cutShort(subject, point);
        const problems = await problemsAfter({ nodes: testbed.nodes, workstation }, scenario);
        return { ...killed, problems, differences: compareClusters(reference, await readTrees(cluster), scenario) };
      },
      [Symbol.asyncDispose]: () => testbed.stop(),
    };
  } catch (error) {
    await testbed.stop();
    throw error;
  }
}

/** The divisor for the load balancer's probe interval; otherwise, waiting for probes would take most of the time. */
const probeScale = 5;

interface Cluster {
  readonly testbed: Testbed;
  readonly workstation: Workstation;
  readonly scenario: Scenario;
  readonly digests: Digests;
}

function subjectOf({ testbed, workstation, scenario }: Cluster): Subject {
  const [first] = scenario.before;
  return {
    testbed,
    workstation,
    commands: scenario.commands.map((command) => [...command, "--output", "json"]),
    // The first controller stays a member, except if the command removes the whole cluster.
    ready: async (node) => {
      if (scenario.undoes !== true && node === testbed.nodes[first ?? 0]) await etcdIsHealthy([node]);
    },
  };
}

/** Keeps the present state as the start of each run. Returns a function that restores this state. */
async function takeStart(cluster: Cluster): Promise<() => Promise<void>> {
  const { testbed, workstation, scenario } = cluster;
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
    await clusterIsHealthy({ nodes: testbed.nodes, workstation }, scenario.before);
  };
}

/** Returns a larger number for resources that refer to others. */
function references(path: string): number {
  return path.includes("/forwardingRules/") ? 2 : path.includes("/targetPools/") ? 1 : 0;
}

async function settled(cluster: Cluster): Promise<Trees> {
  const { testbed, workstation, scenario } = cluster;
  const problems = await problemsAfter({ nodes: testbed.nodes, workstation }, scenario);
  if (problems.length > 0) throw new Error(`after an undisturbed run: ${problems.join("; ")}`);
  return readTrees(cluster);
}

/** @throws when the trees differ */
function agree(wanted: Trees, found: Trees, scenario: Scenario): void {
  const disagreement = compareClusters(wanted, found, scenario);
  if (disagreement.length > 0) throw new Error(`two undisturbed states differ:\n${formatDifferences(disagreement)}`);
}
