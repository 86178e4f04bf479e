import { controllersOf, openCluster, type OpenCluster } from "../cluster/open.ts";
import type { ClusterConfig } from "../config/schema.ts";
import type { Context } from "../terminal/context.ts";
import { type NodeEtcd, readEtcd, unfinishedRestore } from "../etcd/overview.ts";
import { confirmation, refuseAbsent, refuseReleaseRestore, type RestoreRun, restoreIdFor } from "../etcd/restore.ts";
import { chooseSnapshot, nodeSnapshots, readSnapshots } from "../etcd/snapshots.ts";
import { fileSource, nodeSource, type Source } from "../etcd/distribute.ts";
import { confirmRestored } from "../etcd/serving-again.ts";
import { showRestore } from "../etcd/show-restore.ts";
import { openProgress, type Output } from "../progress/open.ts";
import { finalNote } from "../progress/progress.ts";

export interface RestoreOptions {
  readonly output: Output;
  /** A snapshot's name, "latest", or a file's path, which must contain a slash. */
  readonly snapshot: string;
  readonly yes: boolean;
}

/**
 * Restores etcd on all nodes from a snapshot, and starts Kubernetes again. Continues an interrupted restore. Returns
 * exit code 0, or 130 if the restore was interrupted between two phases; otherwise throws.
 */
export async function etcdRestore(config: ClusterConfig, context: Context, options: RestoreOptions): Promise<number> {
  const { signal } = context;
  const file = options.snapshot.includes("/") ? await fileSource(options.snapshot) : undefined;
  await using cluster = await openCluster(config, signal);
  const { members } = cluster;
  const nodes = await readEtcd(members, signal);
  refuseAbsent(members, nodes);
  refuseReleaseRestore(nodes);
  const source = file ?? (await chooseSource(cluster, { nodes, wanted: options.snapshot, signal }));
  const run: RestoreRun = {
    id: restoreIdFor(source.snapshot.id, nodes),
    source,
    members,
    controllers: controllersOf(cluster),
  };
  if (!options.yes) throw confirmation(run);

  const progress = await openProgress(options.output, context);
  if (!(await showRestore(run, { progress, signal }))) return 130;
  const result = await confirmRestored(members, source, { signal, timeoutMillis: config.timeouts.verify });
  finalNote(progress, result);
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
