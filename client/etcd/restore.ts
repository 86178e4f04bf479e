import { randomUUID } from "node:crypto";
import { KhwError, toKhwError } from "../../proto/errors.ts";
import { type AdvanceRestoreRequest, type Restore, RestorePhase } from "../../proto/gen/khw/agent/v1/etcd.ts";
import type { Controller } from "../../proto/desired.ts";
import type { DesiredState } from "../../proto/gen/khw/agent/v1/agent.ts";
import { continuingCommand } from "../../proto/restore.ts";
import type { Member } from "../cluster/open.ts";
import { phase } from "../progress/phase.ts";
import type { Progress } from "../progress/progress.ts";
import { conclude, combineErrors } from "../cluster/combine-errors.ts";
import type { NodeEtcd } from "./overview.ts";
import { unfinishedRestore } from "./overview.ts";
import { distributeTo, type Source } from "./distribute.ts";

/** A new or continued restore. */
export interface RestoreRun {
  readonly id: string;
  readonly source: Source;
  readonly members: readonly Member[];
  readonly controllers: readonly Controller[];
  /** The Kubernetes release to install together with the data; by default, the release is not changed. */
  readonly release?: RestoredRelease;
}

export interface RestoredRelease {
  readonly version: string;
  /** The desired state of each node. */
  readonly desired: ReadonlyMap<string, DesiredState>;
  /** Called after all nodes are locked, and before any component stops. */
  readonly held: () => Promise<void>;
}

export interface RunOptions {
  readonly progress: Progress;
  /** Aborted by Ctrl-C. The current phase then completes, and no further phase starts. */
  readonly signal: AbortSignal;
}

/** Ctrl-C does not stop work that has started on the nodes. Only the work's deadline stops it. */
const never = new AbortController().signal;

const phases = [
  [RestorePhase.RESTORE_PHASE_KUBERNETES_STOPPED, "kubernetes", "its API server is stopped"],
  [RestorePhase.RESTORE_PHASE_ETCD_STOPPED, "stop", "etcd is stopped"],
  [RestorePhase.RESTORE_PHASE_RESTORED, "data", "etcd's data is replaced; the old data is kept"],
  [RestorePhase.RESTORE_PHASE_ETCD_STARTED, "start", "etcd is started"],
  [RestorePhase.RESTORE_PHASE_FINISHED, "finish", "its API server is started"],
] as const;

/** Returns the id of an unfinished restore of this snapshot on any node, otherwise a new id. */
export function restoreIdFor(snapshotId: string, nodes: readonly NodeEtcd[], release?: string): string {
  return unfinishedRestoreOf(snapshotId, nodes, release)?.id ?? randomUUID();
}

/**
 * Returns the unfinished restore of this snapshot that also installs the given release. If no release is given, returns
 * the restore that keeps the current release.
 */
export function unfinishedRestoreOf(
  snapshotId: string,
  nodes: readonly NodeEtcd[],
  release?: string,
): Restore | undefined {
  return nodes
    .map(unfinishedRestore)
    .find((restore) => restore?.snapshotId === snapshotId && restore.kubernetesVersion === release);
}

/**
 * Refuses to start if an unfinished restore also changes the Kubernetes release. Only the command that began this
 * restore can continue it.
 * @throws KhwError OUT_OF_ORDER
 */
export function refuseReleaseRestore(nodes: readonly NodeEtcd[]): void {
  const begun = nodes.map(unfinishedRestore).find((restore) => restore?.kubernetesVersion !== undefined);
  if (begun === undefined) return;
  const what = `an unfinished restore of ${begun.snapshotId} also installs Kubernetes ${begun.kubernetesVersion}`;
  throw new KhwError("OUT_OF_ORDER", what, { hint: `continue that restore: \`${continuingCommand(begun)}\`` });
}

/**
 * Restores the cluster. The snapshot is copied to every node and verified there before any component stops. Each phase
 * starts when all nodes have completed the previous phase, so no member starts while another member still has the old
 * data. Returns false if Ctrl-C stopped the restore between two phases.
 * @throws KhwError with all nodes' errors in a phase; running the same command again continues from that phase
 */
export async function runRestore(run: RestoreRun, options: RunOptions): Promise<boolean> {
  const { source, members } = run;
  await onAllNodes(members, options, {
    id: "snapshot",
    summary: `${source.snapshot.id} is copied and verified`,
    work: (member) => distributeTo(member, source, options.signal),
  });
  await holdAll(run, options);
  await run.release?.held();
  for (const [reached, id, summary] of phases) {
    if (options.signal.aborted) return false;
    const request = requestOf(run, reached);
    await onAllNodes(members, options, { id, summary, work: ({ node }) => node.etcd.advance(request, never) });
  }
  return true;
}

/** Locks either all nodes or none. If one node is busy, the other nodes keep serving. */
async function holdAll(run: RestoreRun, options: RunOptions): Promise<void> {
  const { members } = run;
  const request = requestOf(run, RestorePhase.RESTORE_PHASE_HELD);
  try {
    const work: RestoreWorkOptions["work"] = async ({ node }) => {
      const desired = run.release?.desired.get(node.address.name);
      refuseOlderAgent(await node.etcd.advance({ ...request, desired }, never), run.release);
    };
    await onAllNodes(members, options, { id: "hold", summary: "other operations are refused", work });
  } catch (error) {
    const given = requestOf(run, RestorePhase.RESTORE_PHASE_ABANDONED);
    // A node that has reached a later phase refuses to be unlocked. Running the command again continues from that
    // phase.
    await Promise.allSettled(members.map(({ node }) => node.etcd.advance(given, never)));
    throw error;
  }
}

/** An agent of an older version would ignore the release, and start the newer programs with the older data. */
function refuseOlderAgent({ kubernetesVersion }: Restore, release: RestoredRelease | undefined): void {
  if (release === undefined || kubernetesVersion === release.version) return;
  throw new KhwError("VERSION_SKEW", `its agent cannot install Kubernetes ${release.version} during a restore`, {
    hint: "upgrade the agents first: khw-client agent upgrade --deb FILE",
  });
}

function requestOf({ id, source, controllers }: RestoreRun, reached: RestorePhase): AdvanceRestoreRequest {
  return {
    restoreId: id,
    snapshotId: source.snapshot.id,
    members: controllers.map(({ name, internalIp }) => ({ name, internalIp })),
    phase: reached,
  };
}

interface RestoreWorkOptions {
  readonly id: string;
  readonly summary: string;
  readonly work: (member: Member) => Promise<unknown>;
}

/** Runs a phase on all nodes at once; resolves when all nodes have completed the phase. */
async function onAllNodes(
  members: readonly Member[],
  { progress }: RunOptions,
  { id, summary, work }: RestoreWorkOptions,
): Promise<void> {
  const errors = await Promise.all(
    members.map(async (member) => {
      const track = member.node.address.name;
      try {
        await phase(
          { id: `restore/${id}`, summary },
          (event) => progress.emit({ kind: "step", track, event }),
          () => work(member),
        );
        return [];
      } catch (thrown) {
        return toKhwError(thrown).at({ node: track });
      }
    }),
  );
  const failed = errors.flat();
  conclude(failed, {
    done: members.length - failed.length,
    headline: "the restore is not finished",
    hint: "correct the errors, then run the same command again to continue the restore",
  });
}

/** Every node must take part, because a member with the old data would belong to another cluster. */
export function refuseAbsent(members: readonly Member[], nodes: readonly NodeEtcd[]): void {
  const errors = [...members.flatMap(({ error }) => error ?? []), ...nodes.flatMap(({ error }) => error ?? [])];
  const [first] = errors;
  if (first === undefined) return;
  const byNode = [...new Map(errors.map((error) => [error.node, error])).values()];
  throw combineErrors(byNode, {
    code: first.code,
    headline: "nothing was changed: all nodes must answer, because all are restored together",
  });
}

/** Returns the text that the user must confirm before anything changes. */
export function confirmation({ source: { snapshot }, members }: RestoreRun): KhwError {
  const taken =
    snapshot.node === ""
      ? "the file"
      : `taken from ${snapshot.node} at ${new Date(snapshot.takenUnixMillis).toISOString()}`;
  const names = members.map(({ node }) => node.address.name).join(", ");
  return new KhwError(
    "INVALID_ARGUMENT",
    `this replaces all etcd data on ${names} with ${snapshot.id} (${taken}). Writes after the snapshot are lost, and the API is unavailable for about a minute. Each node keeps its current data. Secrets in the snapshot can be read only if encryption-config.yaml still has the keys that were in use when the snapshot was taken`,
    { hint: "give --yes to confirm" },
  );
}
