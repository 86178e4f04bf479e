import type { Controller } from "../../proto/desired.ts";
import { KhwError, toKhwError } from "../../proto/errors.ts";
import type { DesiredState, Upgrade } from "../../proto/gen/khw/agent/v1/agent.ts";
import { controllersOf, type Member, type OpenCluster } from "../cluster/open.ts";
import { isManaged, toDesired } from "../config/desired.ts";
import { refuseKmsBefore } from "../config/encryption.ts";
import { readEtcd } from "../etcd/overview.ts";
import type { Releases } from "../config/releases.ts";
import {
  describeReleases,
  type NodeStatus,
  readReleases,
  releaseObstacles,
  type RunningReleases,
  wantedReleases,
} from "../release/releases.ts";
import { type NodeDrain, otherUpgradeObstacles } from "../release/other-upgrade.ts";
import type { Emulation } from "../release/emulation.ts";
import { lastUpgrade } from "../status/upgrade.ts";
import { changesRelease, isUnfinished } from "../release/path.ts";
import type { AgentNode } from "../cluster/agent-client.ts";
import { findPublicAddress } from "./addresses.ts";
import { provideCredentials, reissueForNewNodes } from "./credentials.ts";
import { compareMembership, type Membership } from "./membership.ts";
import { type AdminCredentials, readCredentials } from "../pki/check/read.ts";
import { type Problem, formatProblem } from "../pki/check/problem.ts";
import type { NewFiles } from "../pki/folder.ts";
import { lockPrograms, pinPrograms } from "../lock/lock.ts";
import type { NodeWork } from "../cluster/node-work.ts";
import { refuseFindings } from "../cluster/combine-errors.ts";
import { note, type ProgressOptions } from "../progress/progress.ts";
import { inspectCluster } from "./findings.ts";
import type { RestartOrder } from "./restart-order.ts";
import { describeRunningOperations } from "./running-operations.ts";
import { describeWarnings } from "./warnings.ts";

/** The complete plan. khw checks the plan before it changes anything. */
export interface Prepared {
  readonly controllers: readonly Controller[];
  readonly publicAddress: string;
  readonly releases: Releases;
  /** Describes the releases, and explains why khw chose them. */
  readonly releaseNote: string;
  /** The reasons why the release cannot be changed. */
  readonly releaseObstacles: readonly KhwError[];
  readonly running: RunningReleases;
  /** The last upgrade that an agent has recorded. */
  readonly lastUpgrade: Upgrade | undefined;
  readonly admin: AdminCredentials;
  /** The nodes whose agents answered, each with its desired state. */
  readonly work: readonly NodeWork[];
  /** The errors of the nodes that did not answer. */
  readonly unreachable: readonly KhwError[];
  /** The configured controllers, compared with the members of etcd. */
  readonly membership: Membership;
  /** New credentials that are not written yet; empty if the folder already has credentials. */
  readonly made: NewFiles;
  /**
   * The certificate that contains the names of new controllers, but is not written yet. Empty if the folder already has
   * this certificate.
   */
  readonly reissued: NewFiles;
  /** Faults in the credentials that do not prevent the cluster from working. */
  readonly warnings: readonly Problem[];
}

export interface PrepareOptions {
  readonly signal: AbortSignal;
  /**
   * Whether to reserve a missing static address now, if the configuration allows it. If false, a missing address is an
   * error.
   */
  readonly mayCreateAddress: boolean;
  /**
   * How to handle a folder without credentials: "keep" creates credentials that will be saved, "imagine" creates them
   * only for the plan, and "refuse" throws an error.
   */
  readonly newCredentials: "keep" | "imagine" | "refuse";
  /** Whether to allow an older patch release, or the rollback of an unfinished update. Default: false. */
  readonly allowDowngrade?: boolean;
  /** See PathOptions. */
  readonly allowEmulated?: boolean;
  /** Default: "keep". */
  readonly emulation?: Emulation;
  /** See ReleaseOptions. Default: false. */
  readonly restoresData?: boolean;
  /**
   * Controllers that are being removed. The agents accept a list of controllers that omits these controllers. Default:
   * no controllers.
   */
  readonly leaving?: readonly Controller[];
}

/** The losses that the administrator accepts. By default, no losses are accepted. */
export interface ReleaseConsent {
  /** Whether to accept that the new release lacks APIs that clients request. */
  readonly allowRemovedApis?: boolean;
}

/**
 * @throws KhwError CREDENTIAL_INVALID, COMPUTE_FAILED, UNREACHABLE (no node answers), INVALID_ARGUMENT, ETCD_CONFLICT
 * (the controllers cannot be changed to the configured ones)
 */
export async function prepare(cluster: OpenCluster, options: PrepareOptions): Promise<Prepared> {
  const { config, members } = cluster;
  const unreachable = members.flatMap(({ error }) => error ?? []);
  if (unreachable.length === members.length) refuseFindings(unreachable, "no node can be changed");
  const controllers = controllersOf(cluster);
  const { newCredentials, signal, allowDowngrade = false, restoresData = false, allowEmulated, emulation } = options;
  const [publicAddress, { running, statuses }, etcd] = await Promise.all([
    findPublicAddress(cluster, options),
    readReleases(members, signal),
    isManaged(config) ? readEtcd(members, signal) : [],
  ]);
  const releases = wantedReleases(config, running, emulation);
  const last = lastUpgrade(statuses);
  refuseKmsBefore(config.encryption, releases.kubernetes);
  const { leaving = [] } = options;
  const membership = compareMembership({ controllers, leaving, nodes: etcd, version: releases.etcd });
  // Runs before the credentials are read, because errors in the credentials would hide these obstacles.
  refuseFindings(membership.obstacles);
  const resolved = { controllers, leaving, publicAddress, releases };
  const provide = { addresses: resolved, members, complete: newCredentials === "keep" };
  const made = newCredentials === "refuse" ? undefined : await provideCredentials(config, provide);
  const mayReissue = newCredentials !== "refuse" && membership.joining.length > 0;
  const reissued = mayReissue ? await reissueForNewNodes(config, resolved) : {};
  const { credentials, admin, warnings } = await readCredentials(config, resolved, made ?? reissued);
  const desired = await toDesired(config, resolved, credentials);
  const work = members
    .filter(({ info }) => info !== undefined)
    .map(({ node }): NodeWork => {
      const { name } = node.address;
      const { maintenance } = statuses.find((read) => read.node === name)?.status ?? {};
      return { node, desired: stateOf(desired, name), maintenance };
    });
  return {
    ...resolved,
    releaseNote: describeReleases(config, running, releases),
    running,
    lastUpgrade: last,
    releaseObstacles: [
      ...otherUpgradeObstacles(last, {
        wanted: releases.kubernetes,
        allowDowngrade,
        nodes: drainsOf(members, statuses),
      }),
      ...releaseObstacles(config, running, {
        wanted: releases,
        allowDowngrade,
        restoresData,
        ...(allowEmulated !== undefined && { allowEmulated }),
        ...(emulation !== undefined && { emulation }),
      }),
    ],
    admin,
    work,
    unreachable,
    membership,
    made: made ?? {},
    reissued,
    warnings,
  };
}

function drainsOf(members: readonly Member[], statuses: readonly NodeStatus[]): NodeDrain[] {
  return statuses.map(({ node, status: { maintenance, upgrade } }) => {
    const { clockUnixMillis = 0 } = members.find((member) => member.node.address.name === node)?.info ?? {};
    return { node, maintenance, clockUnixMillis, begunUnixMillis: upgrade?.begunUnixMillis ?? 0 };
  });
}

/** A plan without obstacles. */
export interface RolloutPlan extends Prepared, RestartOrder {
  /**
   * The nodes that begin a change of their Kubernetes release. They are updated one at a time, even if they are not
   * serving. An unfinished change may have to repair several nodes at once, so this set is then empty.
   */
  readonly updating: ReadonlySet<AgentNode>;
}

export interface PlanRolloutOptions extends ProgressOptions, PrepareOptions, ReleaseConsent {
  /**
   * How to handle an agent that does not answer: "refuse" stops the command, and "skip" continues with the other nodes.
   */
  readonly unreachable: "refuse" | "skip";
  /**
   * How to handle controllers that are not in the cluster yet: "replace" adds a controller that replaces another, and
   * does not warn about an even number of controllers. Default: "refuse".
   */
  readonly joining?: "add" | "replace" | "refuse";
  /** Returns obstacles that the command itself finds. They are reported with all other obstacles. */
  readonly find?: (prepared: Prepared) => Promise<readonly KhwError[]>;
}

/**
 * Plans the work on all nodes, and prints notes for the user. Does not change any node, but records new digests in
 * khw.lock.
 * @throws KhwError that combines the obstacles on all nodes, or an error from `prepare`
 */
export async function planRollout(cluster: OpenCluster, options: PlanRolloutOptions): Promise<RolloutPlan> {
  const { progress, signal, allowRemovedApis = false, restoresData = false } = options;
  const prepared = await prepare(cluster, options);
  const found = (await options.find?.(prepared)) ?? [];
  for (const text of describeJoining(prepared, options)) note(progress, text);
  const pinned = await pinPrograms(cluster, prepared.work).catch((thrown: unknown) => {
    // A refused release change matters more than missing digests for the release's programs.
    refuseFindings([...found, ...prepared.releaseObstacles, toKhwError(thrown)]);
    throw thrown;
  });
  for (const problem of prepared.warnings) note(progress, formatProblem(problem));
  for (const text of describeRunningOperations(cluster.members)) note(progress, text);
  note(progress, prepared.releaseNote);
  const { admin, running, releases } = prepared;
  const checks = { work: pinned, admin, running, wanted: releases.kubernetes, allowRemovedApis, restoresData };
  const { findings, warnings, reported, ...order } = await inspectCluster(cluster.members, checks, signal);
  for (const text of describeWarnings(warnings)) note(progress, `warning: ${text}`);
  const absent = options.unreachable === "refuse" ? prepared.unreachable : [];
  refuseFindings(
    [...absent, ...found, ...prepared.releaseObstacles, ...findings],
    "nothing was changed, because of these findings",
  );
  const work = await lockPrograms(cluster, pinned, { reported, progress });
  return { ...prepared, work, ...order, updating: updatingNodes(prepared) };
}

function updatingNodes({ running: { kubernetes }, releases, work }: Prepared): ReadonlySet<AgentNode> {
  if (isUnfinished(kubernetes) || !changesRelease(kubernetes, releases.kubernetes)) return new Set();
  const names = new Set(kubernetes.map(({ node }) => node));
  return new Set(work.map(({ node }) => node).filter(({ address }) => names.has(address.name)));
}

/**
 * Returns the sentences to print about new controllers.
 * @throws KhwError ETCD_CONFLICT if there are new controllers, but this command does not add any
 */
function describeJoining({ membership }: Prepared, { joining: mode = "refuse" }: PlanRolloutOptions): string[] {
  const { joining, warnings } = membership;
  if (joining.length > 0 && mode === "refuse") {
    throw new KhwError("ETCD_CONFLICT", `${joining.join(", ")} is not in the cluster yet, so no node was changed`, {
      hint: "run `khw-client bootstrap` first, which adds new controllers; or leave them out of the list",
    });
  }
  const cautions = mode === "replace" ? [] : warnings;
  return [...joining.map((name) => `${name} joins the cluster`), ...cautions.map((text) => `warning: ${text}`)];
}

function stateOf(states: ReadonlyMap<string, DesiredState>, name: string): DesiredState {
  const state = states.get(name);
  if (state === undefined) throw new TypeError(`no desired state was created for ${name}`);
  return state;
}
