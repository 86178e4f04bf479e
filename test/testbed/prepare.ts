/** Makes the cached folders that a testbed starts from. They are slow to make, so they are made only once. */
import { join } from "node:path";

import { must } from "./command.ts";
import { cacheFolder } from "./layout.ts";

/** The Debian releases available for machines. */
export type Suite = "bookworm" | "trixie";

/** The cached folders of a testbed. */
export interface Prepared {
  /** The machines' root. */
  readonly base: string;
  /** The apt repository with nginx. */
  readonly packages: string;
  /** The Kubernetes releases: a folder for each version. */
  readonly kubernetes: string;
  /** The etcd releases: a folder for each version. */
  readonly etcd: string;
}

/** Long enough to build Kubernetes on two slow processors. */
const buildTimeoutMs = 45 * 60_000;

/**
 * Finds the folders in the cache, or makes the missing ones. Making them takes minutes; `test/setup.sh` does it
 * beforehand.
 */
export async function prepare(suite: Suite): Promise<Prepared> {
  const make = async (script: string, ...args: readonly string[]): Promise<string> => {
    const argv = ["bash", join(import.meta.dirname, script), cacheFolder(), ...args];
    return (await must(argv, { timeoutMs: buildTimeoutMs })).trim();
  };
  const [kubernetes, etcd, base] = await Promise.all([make("kubernetes.sh"), make("etcd.sh"), make("base.sh", suite)]);
  return { base, kubernetes, etcd, packages: await make("packages.sh", base, suite) };
}
