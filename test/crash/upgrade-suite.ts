/**
 * The crash suite for upgrades. Repeatedly upgrades a cluster to the next patch release, rolls it back, and kills a
 * program or a machine midway. Compares each result with the same cluster after undisturbed runs.
 */

import { etcdctl } from "../fixtures/etcd.ts";
import { given } from "../fixtures/given.ts";
import { folderMirror, publishRelabelled } from "../fixtures/relabelled.ts";
import { succeeded } from "../testbed/command.ts";
import { startTestbed, type Testbed, type TestbedNode } from "../testbed/index.ts";
import { agentPackage, installAgents, makeWorkstation, realVersion, type Workstation } from "../testbed/workstation.ts";
import { compareClusters, readTrees, type Trees } from "./cluster-trees.ts";
import { formatDifferences } from "./compare.ts";
import { newDrain, upgradeExceptions, workstationExceptions } from "./exceptions.ts";
import { chooseRunningPoints, type UpgradeStart } from "./points.ts";
import { findProblems } from "./properties.ts";
import { cutShort, undisturbed } from "./run.ts";
import type { Subject } from "./running.ts";
import type { Suite } from "./suite.ts";
import type { Digests } from "./tree.ts";

/**
 * The first release's API server does not wait for watches. Therefore, it stops faster than the testbed's other API
 * server.
 */
const releases: Readonly<Record<UpgradeStart, string>> = { old: realVersion, new: "v1.20.3" };
const otherEnd: Readonly<Record<UpgradeStart, UpgradeStart>> = { old: "new", new: "old" };
const ways: Readonly<Record<UpgradeStart, readonly string[]>> = { old: ["--to", releases.new], new: ["--back"] };

export interface UpgradeSuiteOptions {
  /** The number of controllers. */
  readonly nodes: number;
  /** The starting states of the points, repeated as many times as necessary. */
  readonly starts: readonly UpgradeStart[];
  /** Whether to make only one undisturbed run in each direction. By default, two runs must have the same result. */
  readonly quick?: boolean;
}

/**
 * Bootstraps a cluster, then upgrades it and rolls it back without interruption.
 * @throws when two undisturbed runs have different results
 */
export async function openUpgradeSuite({ nodes, starts, quick = false }: UpgradeSuiteOptions): Promise<Suite> {
  // A single controller is not drained.
  const exceptions = [...upgradeExceptions, ...(nodes > 1 ? newDrain : [])];
  const allowed = { exceptions, workstationExceptions };
  const testbed = await startTestbed({ nodes, withEtcd: false, probeScale });
  try {
    const cluster = await bootstrapped(testbed);
    const run = (start: UpgradeStart) => undisturbed(subjectOf(cluster, start));
    const old = await run("old");
    const reference: Record<UpgradeStart, Trees> = { old: new Map(), new: await settled(cluster, "new") };
    const events = { old, new: await run("new") };
    reference.old = await settled(cluster, "old");
    if (!quick) {
      for (const start of ["old", "new"] as const) {
        await run(start);
        const end = otherEnd[start];
        const disagreement = compareClusters(reference[end], await settled(cluster, end), allowed);
        if (disagreement.length > 0)
          throw new Error(`two undisturbed runs differ:\n${formatDifferences(disagreement)}`);
      }
    }
    let now: UpgradeStart = "old";
    const names = testbed.nodes.map(({ name }) => name);
    return {
      points: (options) => chooseRunningPoints({ ...options, events, starts, nodes: names }),
      crash: async (point) => {
        const start = point.start === "new" ? "new" : "old";
        if (now !== start) await run(now);
        const killed = await cutShort(subjectOf(cluster, start), point);
        now = otherEnd[start];
        const problems = await findProblems(checkedOf(cluster, now));
        return { ...killed, problems, differences: compareClusters(reference[now], await readTrees(cluster), allowed) };
      },
      [Symbol.asyncDispose]: () => testbed.stop(),
    };
  } catch (error) {
    await testbed.stop();
    throw error;
  }
}

/**
 * The divisor for the load balancer's probe interval. Without this divisor, waiting for probes would take most of the
 * time.
 */
const probeScale = 5;

interface Cluster {
  readonly testbed: Testbed;
  readonly workstation: Workstation;
  readonly digests: Digests;
}

async function bootstrapped(testbed: Testbed): Promise<Cluster> {
  const workstation = await makeWorkstation(testbed);
  await installAgents(workstation, testbed.nodes, agentPackage);
  const command = ["bootstrap", ...nodesOf(testbed), "--kubernetes-version", releases.old];
  succeeded(["khw-client", ...command], await workstation.khw(command));
  await publishRelabelled(testbed, releases.new, realVersion);
  return { testbed, workstation, digests: new Map() };
}

function nodesOf({ nodes }: Testbed): readonly string[] {
  return ["--nodes", nodes.map(({ name }) => name).join(",")];
}

function subjectOf({ testbed, workstation }: Cluster, start: UpgradeStart): Subject {
  const command = ["upgrade", ...nodesOf(testbed), ...ways[start], "--yes", "--mirror", folderMirror, "-o", "json"];
  // After a successful way back, there is nothing left to undo, so a second one is refused.
  return { testbed, workstation, commands: [command], ready: etcdIsHealthy, repeatable: start === "old" };
}

/**
 * Waits for etcd, because an upgrade starts only in a healthy cluster. An upgrade does not change etcd, so etcd always
 * becomes healthy.
 */
async function etcdIsHealthy(node: TestbedNode): Promise<void> {
  await given(`${node.name}'s etcd is healthy`, async () =>
    (await etcdctl(node, ["endpoint", "health"])).code === 0 ? true : undefined,
  );
}

function checkedOf({ testbed, workstation }: Cluster, at: UpgradeStart) {
  const version = ["--kubernetes-version", releases[at], "--mirror", folderMirror];
  return { nodes: testbed.nodes, workstation, plan: ["plan", ...nodesOf(testbed), ...version] };
}

async function settled(cluster: Cluster, at: UpgradeStart): Promise<Trees> {
  const problems = await findProblems(checkedOf(cluster, at));
  if (problems.length > 0) throw new Error(`after an undisturbed run: ${problems.join("; ")}`);
  return readTrees(cluster);
}
