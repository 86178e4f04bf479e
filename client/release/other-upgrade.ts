import { KhwError } from "../../proto/errors.ts";
import { type Upgrade, UpgradeState } from "../../proto/gen/khw/agent/v1/agent.ts";
import { instant } from "../terminal/time.ts";
import { changesRelease, type NodeRelease } from "./path.ts";

export interface OtherUpgradeOptions {
  readonly running: readonly NodeRelease[];
  /** The Kubernetes release that the command would apply. */
  readonly wanted: string;
  /** See PathOptions. */
  readonly allowDowngrade: boolean;
}

/**
 * Returns an obstacle if an upgrade to another release is recorded as running. Another client may be working on the
 * cluster, or it was killed. This command would undo that upgrade node by node. Going back to the old release is
 * allowed if the administrator asks for it.
 */
export function otherUpgradeObstacles(
  last: Upgrade | undefined,
  { running, wanted, allowDowngrade }: OtherUpgradeOptions,
): KhwError[] {
  if (last?.state !== UpgradeState.UPGRADE_STATE_RUNNING || last.restoresSnapshot === true) return [];
  const { fromVersion, toVersion, holder, begunUnixMillis } = last;
  const isBack = allowDowngrade && wanted === fromVersion;
  // If every node runs the new release, that upgrade has nothing left to change.
  if (wanted === toVersion || isBack || !changesRelease(running, toVersion)) return [];
  const upgrade = `the upgrade from ${fromVersion} to ${toVersion}, started by ${holder} at ${instant(begunUnixMillis)}`;
  return [
    new KhwError("RELEASE_REFUSED", `${upgrade}, has not ended, and this command would apply ${wanted}`, {
      hint: "wait until it ends; if its client was killed, run khw-client upgrade with the same release, or khw-client upgrade --back",
    }),
  ];
}
