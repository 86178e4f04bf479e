/** Builds the cached folders that a testbed needs to start. Building them is slow, so it is done only once. */
import { join } from "node:path";

import { must } from "./command.ts";
import { realEtcdVersion } from "./etcd.ts";
import { cacheFolder } from "./layout.ts";

/** The Debian releases that machines can use. */
export type Suite = "bookworm" | "trixie";

/** The cached folders of a testbed. */
export interface Prepared {
  /** The root file system that the machines share. */
  readonly base: string;
  /** The apt repository that contains nginx. */
  readonly packages: string;
  /** The Kubernetes releases, with a folder for each version. */
  readonly kubernetes: string;
  /** The etcd releases, with a folder for each version. */
  readonly etcd: string;
  /** The layer that turns a controller's root file system into a worker's; absent if the testbed has no workers. */
  readonly workerLayer?: string;
}

/** The time limit is long enough to build Kubernetes on two slow processors. */
const buildTimeoutMs = 45 * 60_000;

/**
 * Finds the folders in the cache and builds the missing folders. Building takes minutes, so `test/setup.sh` builds the
 * folders in advance.
 */
export async function prepare(suite: Suite, workers = 0): Promise<Prepared> {
  const make = async (script: string, ...args: readonly string[]): Promise<string> => {
    const argv = ["bash", join(import.meta.dirname, script), cacheFolder(), ...args];
    return (await must(argv, { timeoutMs: buildTimeoutMs })).trim();
  };
  const [kubernetes, etcd, base] = await Promise.all([make("kubernetes.sh"), make("etcd.sh"), make("base.sh", suite)]);
  const packages = await make("packages.sh", base, suite);
  if (workers === 0) return { base, kubernetes, etcd, packages };
  if (suite !== "bookworm") throw new Error(`a worker runs bookworm, not ${suite}`);
  const program = join(etcd, realEtcdVersion, "programs/etcd");
  return { base, kubernetes, etcd, packages, workerLayer: await make("worker/layer.sh", base, program) };
}
