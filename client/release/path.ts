import compare from "semver/functions/compare.js";
import major from "semver/functions/major.js";
import minor from "semver/functions/minor.js";
import { KhwError } from "../../proto/errors.ts";

/** The release of a program on one node. */
export interface NodeRelease {
  readonly node: string;
  /** The release with the leading "v", for example "v1.21.0". */
  readonly version: string;
  /** The minor release that the program emulates, for example "1.31"; absent if the program emulates none. */
  readonly emulates?: string;
}

export interface PathOptions {
  readonly program: "Kubernetes" | "etcd";
  readonly wanted: string;
  /** Whether the administrator allows an older patch release, or the rollback of an unfinished update. */
  readonly allowDowngrade: boolean;
  /**
   * Whether the cluster may return to the minor release that every program emulates. The caller must know that no
   * program ever ran without the emulation.
   */
  readonly allowEmulated?: boolean;
}

/**
 * Returns the reasons why the release cannot be changed; an empty list for a new cluster. Kubernetes and etcd support
 * upgrades by only one minor release at a time: https://kubernetes.io/releases/version-skew-policy/,
 * https://etcd.io/docs/v3.5/upgrades/.
 */
export function pathObstacles(running: readonly NodeRelease[], options: PathOptions): KhwError[] {
  const { program, wanted, allowDowngrade, allowEmulated = false } = options;
  const releases = distinct(running);
  const [oldest] = releases;
  const newest = releases.at(-1);
  if (oldest === undefined || newest === undefined || releases.join() === wanted) return [];
  const setting = settings[program];
  if (releases.length > 2) {
    return obstacle(`${releases.length} releases of ${program} run side by side: ${list(running)}`, {
      hint: "an update involves at most two releases; bring all nodes but one to the same release first",
    });
  }
  const unfinished = `the update of ${program} from ${oldest} to ${newest} is not finished: ${list(running)}`;
  if (compare(wanted, newest) < 0) {
    const back = wanted === oldest;
    const emulated = allowEmulated && running.every(({ emulates }) => emulates === `${major(wanted)}.${minor(wanted)}`);
    if (minor(wanted) < minor(newest) && !back && !emulated) {
      return obstacle(`${program} ${newest} cannot be changed to ${wanted}: a lower minor release is not supported`, {
        hint: `set ${setting} to ${newest}, or ${waysBack[program]}`,
      });
    }
    if (allowDowngrade) {
      if (back) return [];
      return releases.length > 1 && !emulated
        ? obstacle(unfinished, { hint: `go back to ${oldest}, or set ${setting} to ${newest} to finish that update` })
        : corruptingObstacles(program, wanted);
    }
    return obstacle(
      back ? unfinished : `${program} ${newest} is running, and the requested release ${wanted} is older`,
      {
        hint: `set ${setting} to ${newest}, or run khw-client bootstrap with --allow-downgrade to go back to ${wanted}`,
      },
    );
  }
  const minors = minor(wanted) - minor(oldest);
  if (minors > 1) {
    const between = Array.from({ length: minors - 1 }, (_, index) => `v${major(oldest)}.${minor(oldest) + 1 + index}`);
    return obstacle(
      `${program} ${oldest} cannot be changed to ${wanted} in one step: each update advances by only one minor release`,
      {
        hint: `go to the newest patch of ${between.join(", then of ")}, then to ${wanted}`,
      },
    );
  }
  if (releases.length > 1 && wanted !== newest) {
    return obstacle(unfinished, {
      hint: `set ${setting} to ${newest} to finish that update, then update to ${wanted}`,
    });
  }
  return program === "etcd" ? etcdObstacles(oldest, wanted) : [];
}

const settings = { Kubernetes: "kubernetes.version", etcd: "etcd.version" } as const;

const waysBack = {
  Kubernetes: "run khw-client upgrade --back to see the options for going back",
  etcd: "restore a snapshot that was taken before the update",
} as const;

/** The oldest etcd release that can be updated to 3.6: https://etcd.io/blog/2025/zombie_members_upgrade/ */
const oldestBefore36 = "v3.5.26";
/**
 * The first safe etcd 3.5 release. Releases 3.5.0 to 3.5.2 can corrupt data after a crash:
 * https://groups.google.com/a/kubernetes.io/g/dev/c/B7gJs88XtQc
 */
const firstSafe35 = "v3.5.3";

function corruptingObstacles(program: PathOptions["program"], wanted: string): KhwError[] {
  if (program !== "etcd" || minor(wanted) !== 5 || compare(wanted, firstSafe35) >= 0) return [];
  return obstacle(`etcd ${wanted} can corrupt its data after a crash`, {
    hint: `set etcd.version to ${firstSafe35} or later`,
  });
}

function etcdObstacles(oldest: string, wanted: string): KhwError[] {
  const corrupting = corruptingObstacles("etcd", wanted);
  if (corrupting.length > 0) return corrupting;
  if (minor(oldest) === 5 && minor(wanted) === 6 && compare(oldest, oldestBefore36) < 0) {
    return obstacle(`etcd ${oldest} cannot be changed to ${wanted}: removed members can come back`, {
      hint: `update to ${oldestBefore36} or a later v3.5 release first`,
    });
  }
  return [];
}

/** Returns the distinct releases, oldest first. */
export function distinct(running: readonly NodeRelease[]): string[] {
  return [...new Set(running.map(({ version }) => version))].toSorted(compare);
}

/** Whether the wanted release differs from the release of a program that is already running. */
export function changesRelease(running: readonly NodeRelease[], wanted: string): boolean {
  return running.some(({ version }) => version !== wanted);
}

/** Whether the wanted release is older than a running release. */
export function isWayBack(running: readonly NodeRelease[], wanted: string): boolean {
  return running.some(({ version }) => compare(version, wanted) > 0);
}

/** Whether two releases run side by side. */
export function isUnfinished(running: readonly NodeRelease[]): boolean {
  return distinct(running).length > 1;
}

/** Returns text such as "v1.21.0 on controller-0, controller-1; v1.20.2 on controller-2". */
function list(running: readonly NodeRelease[]): string {
  const nodesOf = (release: string): string[] =>
    running.filter(({ version }) => version === release).map(({ node }) => node);
  return distinct(running)
    .toReversed()
    .map((release) => `${release} on ${[...new Set(nodesOf(release))].join(", ")}`)
    .join("; ");
}

function obstacle(message: string, { hint }: { readonly hint: string }): KhwError[] {
  return [new KhwError("RELEASE_REFUSED", message, { hint })];
}
