/** Reads everything on a machine's disk, and the state that khw keeps in memory. */
import { join } from "node:path";

import type { TestbedNode } from "../testbed/index.ts";
import { below, type Digests, readTree, type Tree } from "./tree.ts";

/**
 * The folder in memory (tmpfs) where the agent and its units keep their runtime state. The folder does not exist before
 * a bootstrap.
 */
const runtimeFolder = "run/khw";

/** Returns the tree of a machine. Stops the agent first, because the agent can write files at any time. */
export async function machineTree(node: TestbedNode, digests: Digests): Promise<Tree> {
  await node.must(["systemctl", "stop", "khw-agent.service"]);
  const disk = await readTree(node.root, digests);
  const { code } = await node.run(["test", "-d", join("/", runtimeFolder)]);
  if (code !== 0) return disk;
  const memory = await readTree(join("/proc", String(node.leaderPid), "root", runtimeFolder), digests);
  return new Map([...disk, ...below(runtimeFolder, memory)]);
}
