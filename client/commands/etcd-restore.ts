import { toKhwError, KhwError } from "../../proto/errors.ts";
import { controllersOf, openCluster, type OpenCluster } from "../cluster/open.ts";
import type { ClusterConfig } from "../config/schema.ts";
import type { Context } from "../terminal/context.ts";
import { etcdProblems, memberOf, type NodeEtcd, readEtcd, unfinishedRestore } from "../etcd/overview.ts";
import { confirmation, refuseAbsent, type RestoreRun, restoreIdFor, runRestore } from "../etcd/restore.ts";
import { chooseSnapshot, nodeSnapshots, readSnapshots } from "../etcd/snapshots.ts";
import { fileSource, nodeSource, type Source } from "../etcd/distribute.ts";
import { servingAgain } from "../etcd/serving-again.ts";
import { openProgress, type Output } from "../progress/open.ts";
import { finalNote } from "../progress/progress.ts";

export interface RestoreOptions {
  readonly output: Output;
  /** A snapshot's name, "latest", or a file's path, which must contain a slash. */
  readonly snapshot: string;
  readonly yes: boolean;
}

/**
 * Restores etcd on all nodes from a snapshot, and starts Kubernetes again. Continues an interrupted restore. Exit
 * code 0, 130 if it was interrupted between two phases, or an error.
 */
export async function etcdRestore(config: ClusterConfig, context: Context, options: RestoreOptions): Promise<number> {
  const { signal } = context;
  const file = options.snapshot.includes("/") ? await fileSource(options.snapshot) : undefined;
  await using cluster = await openCluster(config, signal);
  const { members } = cluster;
  const nodes = await readEtcd(members, signal);
  refuseAbsent(members, nodes);
  const source = file ?? (await chooseSource(cluster, { nodes, wanted: options.snapshot, signal }));
  const run: RestoreRun = {
    id: restoreIdFor(source.snapshot.id, nodes),
    source,
    members,
    controllers: controllersOf(cluster),
  };
  if (!options.yes) throw confirmation(run);

  const progress = await openProgress(options.output, context);
  progress.emit({ kind: "begin", tracks: members.map(({ node }) => node.address.name) });
  const outcome = await runRestore(run, { progress, signal }).catch(toKhwError);
  const error = outcome instanceof KhwError ? outcome : undefined;
  for (const { node } of members) progress.emit({ kind: "end", track: node.address.name, changed: 1, error });
  await progress.settled();
  if (error !== undefined) throw error;
  if (outcome === false) {
    progress.emit({
      kind: "note",
      text: "interrupted: the machines stay locked; run the same command again to continue",
    });
    return 130;
  }
  const restored = await readEtcd(members, signal);
  concludeRestore(restored);
  await servingAgain(members, { signal, timeoutMillis: config.timeouts.verify });
  finalNote(progress, describeRestore(source, restored));
  return 0;
}

interface Choice {
  readonly nodes: readonly NodeEtcd[];
  readonly wanted: string;
  readonly signal: AbortSignal;
}

async function chooseSource({ members }: OpenCluster, { nodes, wanted, signal }: Choice): Promise<Source> {
  const answers = await readSnapshots(members, signal);
  const [failed] = answers.flatMap(({ error }) => error ?? []);
  if (failed !== undefined) throw failed;
  const begun = nodes.map(unfinishedRestore).find((restore) => restore !== undefined)?.snapshotId;
  const name = wanted === "latest" ? (begun ?? wanted) : wanted;
  return nodeSource(chooseSnapshot(nodeSnapshots(answers), name), members);
}

function concludeRestore(nodes: readonly NodeEtcd[]): void {
  const problems = etcdProblems(nodes);
  if (problems.length === 0) return;
  throw new KhwError("VERIFY_FAILED", `etcd was restored, but is not healthy: ${problems.join("; ")}`, {
    hint: "run `khw-client etcd status` and `khw-client status`",
  });
}

function describeRestore({ snapshot }: Source, nodes: readonly NodeEtcd[]): string {
  const [member] = nodes.flatMap((node) => memberOf(node) ?? []);
  const kept = nodes.flatMap(({ node, status }) =>
    status?.restore?.keptAside ? `${node}:${status.restore.keptAside}` : [],
  );
  const aside = kept.length === 0 ? "" : `; the old data is kept until you remove it: ${kept.join(", ")}`;
  return `etcd is restored from ${snapshot.id}: cluster ${member?.clusterId ?? "?"}${aside}`;
}
