import { type Upgrade, UpgradeState } from "../../proto/gen/khw/agent/v1/agent.ts";
import { distinct, type NodeRelease } from "../release/path.ts";
import { releasesIn } from "../release/releases.ts";
import { instant } from "../terminal/time.ts";
import type { NodeState } from "./state.ts";
import { upgradeName } from "./words.ts";

/** An unfinished upgrade, according to the agents' statuses. */
export interface UpgradeProgress {
  readonly upgrade: Upgrade;
  /** The release of each node that answers. */
  readonly releases: readonly NodeRelease[];
  /** The next node in the order of the upgrade; undefined if every node runs the new release. */
  readonly next: string | undefined;
}

/** Returns the newest upgrade that any agent has recorded. */
export function lastUpgrade(nodes: readonly Pick<NodeState, "status">[]): Upgrade | undefined {
  return nodes
    .flatMap(({ status }) => status?.upgrade ?? [])
    .toSorted((a, b) => a.changedUnixMillis - b.changedUnixMillis)
    .at(-1);
}

/**
 * Returns undefined if no upgrade is in progress. A stopped upgrade counts as over if all nodes run the same release.
 * In this case, another command has finished or reverted the upgrade.
 */
export function upgradeProgress(nodes: readonly NodeState[]): UpgradeProgress | undefined {
  const upgrade = lastUpgrade(nodes);
  if (upgrade === undefined || upgrade.state === UpgradeState.UPGRADE_STATE_DONE) return undefined;
  const statuses = nodes.flatMap(({ node, status }) => (status === undefined ? [] : [{ node, status }]));
  const known = releasesIn(statuses).kubernetes;
  // The components of a node are updated one at a time, so the oldest release counts.
  const releases = statuses.flatMap(({ node }) => {
    const own = known.filter((release) => release.node === node);
    const [version] = distinct(own);
    const emulates = own.find((release) => release.emulates !== undefined)?.emulates;
    return version === undefined ? [] : [{ node, version, ...(emulates !== undefined && { emulates }) }];
  });
  const isSame = new Set(releases.map(({ version, emulates = "" }) => `${version} ${emulates}`)).size === 1;
  if (upgrade.state === UpgradeState.UPGRADE_STATE_STOPPED && isSame) return undefined;
  const next = releases.find(
    ({ version, emulates = "" }) => version !== upgrade.toVersion || emulates !== upgrade.emulatedVersion,
  );
  return { upgrade, releases, next: next?.node };
}

/**
 * Returns text such as "Upgrade from v1.20.2 to v1.21.0, started by alice at ...: running. v1.21.0: controller-0. Next:
 * controller-1."
 */
export function describeUpgrade({ upgrade, releases, next }: UpgradeProgress): string {
  const { fromVersion, toVersion, holder, begunUnixMillis, state, report } = upgrade;
  const byRelease = Map.groupBy(releases, ({ version, emulates }) =>
    emulates === undefined ? version : `${version} as ${emulates}`,
  );
  const nodes = [...byRelease].map(([version, some]) => `${version}: ${some.map(({ node }) => node).join(", ")}`);
  return [
    `Upgrade from ${fromVersion} to ${toVersion}, started by ${holder} at ${instant(begunUnixMillis)}: ${upgradeName(state)}.`,
    `  ${nodes.join("; ")}. Next: ${next ?? "the verification"}.`,
    ...(report === "" ? [] : [`  ${report}`]),
  ].join("\n");
}

/** Returns the same information as an object, for programs. */
export function upgradeDocument({ upgrade, releases, next }: UpgradeProgress): Record<string, unknown> {
  return { ...upgradeFields(upgrade), releases, next: next ?? null };
}

export function upgradeFields({ state, ...rest }: Upgrade): Record<string, unknown> {
  return { ...rest, state: upgradeName(state) };
}
