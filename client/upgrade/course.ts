import compare from "semver/functions/compare.js";
import { KhwError } from "../../proto/errors.ts";
import { type Upgrade, UpgradeState } from "../../proto/gen/khw/agent/v1/agent.ts";
import { parseKubernetesVersion } from "../../proto/kubernetes-versions.ts";
import { minorName } from "../release/emulation.ts";
import type { NodeSnapshot } from "../etcd/snapshots.ts";
import { changesRelease, distinct, type NodeRelease } from "../release/path.ts";
import { finishedMinor, isMinorUpgrade, upgradeToUndo } from "./marked-snapshot.ts";

/** The releases and the direction of an upgrade. */
export interface Course {
  readonly from: string;
  readonly to: string;
  readonly direction: "forward" | "back";
  /** The record of the same upgrade, if that upgrade was started but not finished. */
  readonly unfinished: Upgrade | undefined;
}

export interface CourseOptions {
  /** The requested release; empty with `back`. */
  readonly to: string;
  readonly back: boolean;
  /** The releases that the nodes run. */
  readonly running: readonly NodeRelease[];
  /** The last upgrade that an agent has recorded. */
  readonly last: Upgrade | undefined;
  /** The verified snapshots on the nodes; only needed with `back`. */
  readonly snapshots: readonly NodeSnapshot[];
}

/**
 * Returns the course of an upgrade, or of the rollback of the last upgrade.
 * @throws KhwError INVALID_ARGUMENT without a requested release; RELEASE_REFUSED if there is no supported path
 */
export function chooseCourse({ to, back, running, last, snapshots }: CourseOptions): Course {
  if (back === (to !== "")) {
    throw new KhwError("INVALID_ARGUMENT", "use either --to or --back", { hint: "for example --to v1.22.3" });
  }
  const releases = distinct(running);
  const [oldest] = releases;
  if (oldest === undefined) {
    throw new KhwError("RELEASE_REFUSED", "no node runs Kubernetes, so there is nothing to upgrade", {
      hint: "run khw-client bootstrap",
    });
  }
  return back ? wayBack(running, { last, snapshots }) : forward(running, parseKubernetesVersion("--to", to).text, last);
}

function forward(running: readonly NodeRelease[], to: string, last: Upgrade | undefined): Course {
  const [oldest = to] = distinct(running);
  const same = continued(running, to, last);
  return { from: same?.fromVersion ?? oldest, to, direction: "forward", unfinished: same };
}

/**
 * Returns the record of the upgrade that this upgrade continues. If no node runs the new release, this is a new upgrade
 * with a new snapshot, because the earlier snapshot may be old.
 */
function continued(running: readonly NodeRelease[], to: string, last: Upgrade | undefined): Upgrade | undefined {
  const isSame = last !== undefined && isUnfinished(last) && last.restoresSnapshot !== true && last.toVersion === to;
  return isSame && running.some(({ version }) => version === to) ? last : undefined;
}

/**
 * Returns the course to the release that khw.yaml sets; undefined if there is nothing to change or to finish.
 * `pathObstacles` decides whether the course is supported.
 */
export function configuredCourse(
  running: readonly NodeRelease[],
  to: string,
  last: Upgrade | undefined,
): Course | undefined {
  const releases = distinct(running);
  const [oldest, newest] = [releases[0], releases.at(-1)];
  if (oldest === undefined || newest === undefined) return undefined;
  const unfinished = continued(running, to, last);
  if (unfinished === undefined && !changesRelease(running, to)) return undefined;
  const from = unfinished?.fromVersion ?? (compare(to, newest) < 0 ? newest : oldest);
  return { from, to, direction: compare(from, to) > 0 ? "back" : "forward", unfinished };
}

function wayBack(
  running: readonly NodeRelease[],
  { last, snapshots }: Pick<CourseOptions, "last" | "snapshots">,
): Course {
  const releases = distinct(running);
  const [oldest = "", newest = oldest] = releases;
  const undo = last && upgradeToUndo(last);
  if (undo?.restore === "unfinished" && releases.includes(undo.newer)) throw finishedMinor(undo, snapshots);
  if (last !== undefined && undo?.restore === "none" && isUnfinishedWayBack(last, releases)) {
    return { from: last.fromVersion, to: last.toVersion, direction: "back", unfinished: last };
  }
  if (releases.length > 1) {
    // An update that an older client began with `bootstrap` is not recorded.
    const to = last !== undefined && releases.includes(goalOf(last)) ? goalOf(last) : oldest;
    return { from: releases.find((release) => release !== to) ?? newest, to, direction: "back", unfinished: undefined };
  }
  if (last === undefined || undo === undefined) {
    throw new KhwError("RELEASE_REFUSED", `every node runs ${oldest}, and no upgrade is recorded`, {
      hint: "to go to an older patch release: khw-client bootstrap --kubernetes-version VERSION --allow-downgrade",
    });
  }
  const { fromVersion, toVersion } = last;
  if (fromVersion === toVersion) {
    throw new KhwError(
      "RELEASE_REFUSED",
      `the last upgrade ended an emulation of ${toVersion}, and this cannot be undone`,
      {
        hint: `finish that upgrade if it stopped: khw-client upgrade --to ${toVersion}`,
      },
    );
  }
  if (oldest === fromVersion && undo.restore === "none") {
    return { from: toVersion, to: fromVersion, direction: "back", unfinished: undefined };
  }
  if (oldest !== toVersion || isWayBack(last)) {
    throw new KhwError("RELEASE_REFUSED", `every node runs ${oldest}, and the last upgrade was to ${toVersion}`, {
      hint: "upgrade --back undoes only the last upgrade",
    });
  }
  if (isMinorUpgrade(undo) && !stillEmulates(running, last)) throw finishedMinor(undo, snapshots);
  return { from: toVersion, to: fromVersion, direction: "back", unfinished: undefined };
}

/** Returns the older of the two releases of an upgrade or a rollback. */
function goalOf(last: Upgrade): string {
  return isWayBack(last) ? last.toVersion : last.fromVersion;
}

function isWayBack({ fromVersion, toVersion }: Upgrade): boolean {
  return compare(fromVersion, toVersion) > 0;
}

/**
 * Whether the new programs have emulated the old release since this upgrade. If so, the old release can read their
 * data.
 */
function stillEmulates(running: readonly NodeRelease[], { fromVersion, emulatedVersion }: Upgrade): boolean {
  return emulatedVersion === minorName(fromVersion) && running.every(({ emulates }) => emulates === emulatedVersion);
}

/**
 * Whether an earlier `--back` was interrupted. The same command must then continue the rollback instead of undoing the
 * rollback.
 */
function isUnfinishedWayBack(last: Upgrade, releases: readonly string[]): boolean {
  const { fromVersion, toVersion } = last;
  return (
    isUnfinished(last) && isWayBack(last) && releases.every((release) => [fromVersion, toVersion].includes(release))
  );
}

function isUnfinished({ state }: Upgrade): boolean {
  return state !== UpgradeState.UPGRADE_STATE_DONE;
}
