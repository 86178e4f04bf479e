/** Reads and compares everything on the machines of a cluster and on its workstation. */
import { join } from "node:path";

import type { Testbed } from "../testbed/index.ts";
import type { Workstation } from "../testbed/workstation.ts";
import { compareTrees, type Difference, type Exception } from "./compare.ts";
import { machineTree } from "./machine-tree.ts";
import { agentListens } from "./stage.ts";
import { below, type Digests, readTree, type Tree } from "./tree.ts";

/** The trees of the machines by name, and the workstation's tree. */
export type Trees = ReadonlyMap<string, Tree>;

/** The paths that the comparison ignores. */
export interface Exceptions {
  readonly exceptions: readonly Exception[];
  readonly workstationExceptions: readonly Exception[];
}

const workstationName = "workstation";

interface Read {
  readonly testbed: Testbed;
  readonly workstation: Workstation;
  readonly digests: Digests;
}

/** Returns the trees of the machines and the workstation. Stops the agents while it reads the trees. */
export async function readTrees({ testbed, workstation, digests }: Read): Promise<Trees> {
  const trees = new Map<string, Tree>();
  for (const node of testbed.nodes) {
    trees.set(node.name, await machineTree(node, digests));
    await node.must(["systemctl", "start", "khw-agent.service"]);
    await agentListens(node);
  }
  const credentials = below("credentials", await readTree(testbed.credentials, digests));
  return trees.set(workstationName, new Map([...(await readTree(workstation.folder, digests)), ...credentials]));
}

/** Returns the trees of the machines, without the workstation's tree. */
export function machinesOf(trees: Trees): Trees {
  return new Map([...trees].filter(([name]) => name !== workstationName));
}

/** Returns all differences. Each path starts with the name of the machine. */
export function compareClusters(wanted: Trees, found: Trees, allowed: Exceptions): Difference[] {
  return [...wanted].flatMap(([name, tree]) => {
    const exceptions = name === workstationName ? allowed.workstationExceptions : allowed.exceptions;
    const differences = compareTrees(tree, found.get(name) ?? new Map(), exceptions);
    return differences.map(({ path, ...rest }) => ({ path: join(name, path), ...rest }));
  });
}
