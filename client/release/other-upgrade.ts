import { isLeft } from "../../proto/drain.ts";
import { KhwError } from "../../proto/errors.ts";
import { type Maintenance, type Upgrade, UpgradeState } from "../../proto/gen/khw/agent/v1/agent.ts";
import { instant } from "../terminal/time.ts";

/** A node's drain state. All times are those of the node's own clock. */
export interface NodeDrain {
  readonly node: string;
  readonly maintenance: Maintenance | undefined;
  /** The start of the upgrade that the node has recorded; 0 if it has recorded none. */
  readonly begunUnixMillis: number;
  readonly clockUnixMillis: number;
}

export interface OtherUpgradeOptions {
  /** The Kubernetes release that the command would apply. */
  readonly wanted: string;
  /** See PathOptions. */
  readonly allowDowngrade: boolean;
  readonly nodes: readonly NodeDrain[];
}

/**
 * How long a drained node counts as evidence that the client of an upgrade is alive. After a drain of some 15 seconds,
 * the client starts an operation on the node, and the agent then refuses other operations itself.
 */
const aliveMillis = 60_000;

/**
 * Returns an obstacle if an upgrade to another release is working on its first node. This command would undrain the
 * node and apply its own release to it. Later, some nodes run the new release, so `pathObstacles` refuses the command.
 * Going back is allowed if the administrator asks for it. The obstacle disappears after a minute, because a client that
 * was killed does not record the end of its upgrade.
 */
export function otherUpgradeObstacles(
  last: Upgrade | undefined,
  { wanted, allowDowngrade, nodes }: OtherUpgradeOptions,
): KhwError[] {
  if (last?.state !== UpgradeState.UPGRADE_STATE_RUNNING || last.toVersion === wanted) return [];
  const { fromVersion, toVersion, holder, begunUnixMillis } = last;
  if (allowDowngrade && wanted === fromVersion) return [];
  const upgrade = `the upgrade from ${fromVersion} to ${toVersion}, started by ${holder} at ${instant(begunUnixMillis)}`;
  return nodes
    .filter(
      ({ maintenance, clockUnixMillis, ...own }) =>
        maintenance !== undefined &&
        isLeft(maintenance) &&
        maintenance.sinceUnixMillis >= own.begunUnixMillis &&
        clockUnixMillis - maintenance.sinceUnixMillis < aliveMillis,
    )
    .map(
      ({ node }) =>
        new KhwError(
          "RELEASE_REFUSED",
          `${upgrade}, has just drained this node, but this command would apply ${wanted}`,
          {
            node,
            hint: "wait until that upgrade ends; if its client was killed, run this command again in a minute",
          },
        ),
    );
}
