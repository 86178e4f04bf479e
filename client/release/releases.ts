import { components } from "../../proto/components.ts";
import compare from "semver/functions/compare.js";
import minor from "semver/functions/minor.js";
import { defaultEtcdVersion, minimumEtcd } from "../../proto/etcd-versions.ts";
import { KhwError } from "../../proto/errors.ts";
import type { GetStatusResponse } from "../../proto/gen/khw/agent/v1/agent.ts";
import { maxConcurrentNodes, forEachNode } from "../cluster/for-each-node.ts";
import type { Member } from "../cluster/open.ts";
import { labReleases, type Releases } from "../config/releases.ts";
import type { ClusterConfig } from "../config/schema.ts";
import { isManaged } from "../config/desired.ts";
import { type Emulation, emulationObstacles, wantedEmulation } from "./emulation.ts";
import { distinct, type NodeRelease, pathObstacles } from "./path.ts";

/** The releases that the nodes run. */
export interface RunningReleases {
  readonly kubernetes: readonly NodeRelease[];
  readonly etcd: readonly NodeRelease[];
  /** The nodes on which a program is installed, but its release is not known. */
  readonly unknown: { readonly kubernetes: readonly string[]; readonly etcd: readonly string[] };
  /** The errors from nodes that answered an earlier call, but failed to answer this call. */
  readonly unread: readonly KhwError[];
  /** The errors from nodes that could not be reached. Default: none. */
  readonly unreached?: readonly KhwError[];
}

/** The releases, and the statuses from which they were read. */
export interface ReadReleases {
  readonly running: RunningReleases;
  readonly statuses: readonly NodeStatus[];
}

/** Reads the releases from the agents. Skips nodes that could not be reached earlier. */
export async function readReleases(members: readonly Member[], signal: AbortSignal): Promise<ReadReleases> {
  const reached = members.filter(({ error }) => error === undefined);
  const answers = await forEachNode(reached, maxConcurrentNodes, (node) => node.status(signal));
  const statuses = answers.flatMap(({ name, value }) => (value === undefined ? [] : [{ node: name, status: value }]));
  const unread = answers.flatMap(({ error }) => error ?? []);
  const unreached = members.flatMap(({ node, error }) =>
    // An agent that is not enrolled has no control plane.
    error === undefined || error.code === "NOT_ENROLLED" ? [] : error.at({ node: node.address.name }),
  );
  const running = { ...releasesIn(statuses), unread, unreached };
  return { running, statuses };
}

export interface NodeStatus {
  readonly node: string;
  readonly status: GetStatusResponse;
}

/** Returns the releases in the nodes' statuses. */
export function releasesIn(statuses: readonly NodeStatus[]): RunningReleases {
  const of = (names: readonly string[]): NodeRelease[] =>
    statuses.flatMap(({ node, status }) => versionsOf(status, names).map((release) => ({ node, ...release })));
  const unknown = (names: readonly string[]): string[] =>
    statuses.flatMap(({ node, status }) =>
      versionsOf(status, names).length === 0 && isInstalled(status, names) ? [node] : [],
    );
  return {
    kubernetes: of(components),
    etcd: of(["etcd"]),
    unknown: { kubernetes: unknown(components), etcd: unknown(["etcd"]) },
    unread: [],
  };
}

/**
 * Returns the configured releases. If a release is not configured, returns the newest running release. A new cluster
 * gets the lab's Kubernetes release, and the default etcd release for the Kubernetes release.
 */
export function wantedReleases(
  { kubernetes, etcd }: Pick<ClusterConfig, "kubernetes" | "etcd">,
  running: RunningReleases,
  emulation: Emulation = "keep",
): Releases {
  const release = kubernetes.version ?? distinct(running.kubernetes).at(-1) ?? labReleases.kubernetes;
  const emulated = wantedEmulation(running.kubernetes, release, emulation);
  return {
    kubernetes: release,
    etcd: etcd.version ?? distinct(running.etcd).at(-1) ?? defaultEtcdVersion(release),
    ...(emulated !== undefined && { emulated }),
  };
}

export interface ReleaseOptions {
  readonly wanted: Releases;
  readonly allowDowngrade: boolean;
  /** See PathOptions. */
  readonly allowEmulated?: boolean;
  /** Default: "keep". */
  readonly emulation?: Emulation;
  /**
   * Whether etcd's data from before the upgrade is also restored. The older Kubernetes release is compatible with this
   * data.
   */
  readonly restoresData?: boolean;
}

/** Returns the reasons why the running releases cannot be changed to the requested releases. */
export function releaseObstacles(
  config: ClusterConfig,
  running: RunningReleases,
  { wanted, allowDowngrade, allowEmulated = false, emulation = "keep", restoresData = false }: ReleaseOptions,
): KhwError[] {
  const { kubernetes, etcd } = wanted;
  return [
    ...running.unread.map(({ message, node, hint }) => {
      const text = `its release is not known: ${message}`;
      return new KhwError("RELEASE_UNKNOWN", text, { node, hint: hint ?? "run khw-client status" });
    }),
    ...unknownObstacles(config, running),
    ...(isChange(config, running, wanted) ? unreachedObstacles(running) : []),
    ...(restoresData
      ? []
      : pathObstacles(running.kubernetes, {
          program: "Kubernetes",
          wanted: kubernetes,
          allowDowngrade,
          allowEmulated,
        })),
    ...emulationObstacles(config, { running: running.kubernetes, wanted, emulation }),
    ...(isManaged(config) ? pathObstacles(running.etcd, { program: "etcd", wanted: etcd, allowDowngrade }) : []),
    ...(isManaged(config) ? oldEtcdObstacles(running, wanted) : []),
  ];
}

/** Returns an obstacle if Kubernetes is about to run with an etcd release that is too old. */
function oldEtcdObstacles(running: RunningReleases, { kubernetes, etcd }: Releases): KhwError[] {
  const minimum = minimumEtcd(kubernetes);
  // A cluster that already runs this minor release, or a later one, may stay as it is.
  const isKnown = running.kubernetes.some(({ version }) => minor(version) >= minor(kubernetes));
  const [oldest = etcd] = distinct(running.etcd);
  if (isKnown || minimum === undefined || compare(oldest, minimum.version) >= 0) return [];
  const { version, source } = minimum;
  const message = `Kubernetes ${kubernetes} needs etcd ${version} or later, not ${oldest} (${source})`;
  return [
    new KhwError("RELEASE_REFUSED", message, {
      hint: `update etcd first: leave kubernetes.version unchanged, set etcd.version to ${version} or later, one minor release at a time, and run khw-client bootstrap`,
    }),
  ];
}

/** Whether a release is wanted that no reached node of a running cluster has. */
function isChange(config: ClusterConfig, running: RunningReleases, wanted: Releases): boolean {
  const isNew = (nodes: readonly NodeRelease[], release: string): boolean =>
    nodes.length > 0 && nodes.every(({ version }) => version !== release);
  return isNew(running.kubernetes, wanted.kubernetes) || (isManaged(config) && isNew(running.etcd, wanted.etcd));
}

/**
 * A node that cannot be reached may still run an older release. Its release would then be two minor releases behind
 * after the next update.
 */
function unreachedObstacles({ unreached = [] }: RunningReleases): KhwError[] {
  return unreached.map(({ message, node }) => {
    const name = node ?? "NODE";
    return new KhwError(
      "RELEASE_UNKNOWN",
      `the release cannot be changed while a node's release is not known: ${message}`,
      {
        node,
        hint: `start ${name} and its khw-agent; if the machine will not return, run \`khw-client remove ${name} --dead\``,
      },
    );
  });
}

/**
 * Refuses to use the default release if no release is configured and no agent knows the running release. The default
 * release could be older than the running release.
 */
function unknownObstacles(config: ClusterConfig, { kubernetes, etcd, unknown }: RunningReleases): KhwError[] {
  const obstacle = (program: string, setting: string, nodes: readonly string[]): KhwError =>
    new KhwError("RELEASE_UNKNOWN", `the release of ${program} on ${nodes.join(", ")} is not known`, {
      hint: `set ${setting} to the release that you want`,
    });
  const asked = config.kubernetes.version === undefined && kubernetes.length === 0;
  const askedEtcd = isManaged(config) && config.etcd.version === undefined && etcd.length === 0;
  return [
    ...(asked && unknown.kubernetes.length > 0
      ? [obstacle("Kubernetes", "kubernetes.version", unknown.kubernetes)]
      : []),
    ...(askedEtcd && unknown.etcd.length > 0 ? [obstacle("etcd", "etcd.version", unknown.etcd)] : []),
  ];
}

/** Returns text such as "Kubernetes v1.21.0 (currently running), etcd v3.4.15 (as configured)". */
export function describeReleases(config: ClusterConfig, running: RunningReleases, wanted: Releases): string {
  const because = (configured: string | undefined, known: readonly NodeRelease[]): string => {
    if (configured !== undefined) return "as configured";
    return known.length > 0 ? "currently running" : "the default for a new cluster";
  };
  const { kubernetes, etcd } = config;
  const emulating = wanted.emulated === undefined ? "" : `, emulating ${wanted.emulated}`;
  const texts = [`Kubernetes ${wanted.kubernetes} (${because(kubernetes.version, running.kubernetes)})${emulating}`];
  if (isManaged(config)) texts.push(`etcd ${wanted.etcd} (${because(etcd.version, running.etcd)})`);
  return texts.join(", ");
}

function isInstalled({ components: all }: GetStatusResponse, names: readonly string[]): boolean {
  return all.some(({ name, activeState }) => names.includes(name) && activeState !== "not-found");
}

/**
 * Returns the known versions of these components, with the leading "v", and the releases that the components emulate.
 */
function versionsOf({ components: all }: GetStatusResponse, names: readonly string[]): Omit<NodeRelease, "node">[] {
  return all
    .filter(({ name }) => names.includes(name))
    .map(({ version, emulatedVersion }) => ({
      version: version.startsWith("v") ? version : `v${version}`,
      ...(emulatedVersion !== "" && { emulates: emulatedVersion }),
    }))
    .filter(({ version }) => /^v\d+\.\d+\.\d+/.test(version));
}
