import { isManaged } from "../config/desired.ts";
import type { ClusterConfig } from "../config/schema.ts";
import { distinct } from "../release/path.ts";
import type { Prepared } from "../rollout/plan.ts";
import type { PathOptions } from "./describe.ts";

/** Returns the nodes that already run the desired release with the desired emulation. */
export function nodesAt({ running, work, releases }: Pick<Prepared, "running" | "work" | "releases">): string[] {
  const { kubernetes, emulated } = releases;
  return work
    .map(({ node }) => node.address.name)
    .filter((name) => {
      const own = running.kubernetes.filter(({ node }) => node === name);
      return own.length > 0 && own.every(({ version, emulates }) => version === kubernetes && emulates === emulated);
    });
}

/** Returns the facts that the description of an upgrade's path needs. */
export function pathOptions(
  config: ClusterConfig,
  prepared: Pick<Prepared, "running" | "work" | "releases">,
): Omit<PathOptions, "checked"> {
  const { work, running, releases } = prepared;
  const [oldest = releases.etcd] = distinct(running.etcd);
  return {
    nodes: work.map(({ node }) => node.address.name),
    done: nodesAt(prepared),
    etcd: isManaged(config) ? { from: oldest, to: releases.etcd } : undefined,
    emulated: releases.emulated,
    ended: running.kubernetes.find(({ emulates }) => emulates !== undefined)?.emulates,
  };
}
