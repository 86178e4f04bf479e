import type { ListSnapshotsResponse, Snapshot } from "../../proto/gen/khw/agent/v1/etcd.ts";
import { selectNodes } from "../cluster/select-nodes.ts";
import { type OpenCluster, openCluster } from "../cluster/open.ts";
import type { ClusterConfig } from "../config/schema.ts";
import type { Context } from "../terminal/context.ts";
import { chooseSnapshot, nodeSnapshots, readSnapshots } from "../etcd/snapshots.ts";
import { megabytes, snapshotTable } from "../etcd/tables.ts";
import { takeSnapshot } from "../etcd/take-snapshot.ts";
import { type NodeAnswer, maxConcurrentNodes, forEachNode } from "../cluster/for-each-node.ts";
import type { Output } from "../progress/open.ts";
import { answering, collectFailures, type Failures } from "../logs/failures.ts";
import { conclude } from "../cluster/combine-errors.ts";

export interface SnapshotOptions {
  readonly output: Output;
  /** A node (for save) or a snapshot (for verify); if empty, khw chooses. */
  readonly subject: string;
}

/** Makes a member's agent take and verify a snapshot. Returns exit code 0, or throws an error. */
export async function snapshotSave(config: ClusterConfig, context: Context, options: SnapshotOptions): Promise<number> {
  const { signal, write } = context;
  await using cluster = await openCluster(config, signal, { greet: false });
  const chosen = options.subject === "" ? cluster.members : selectNodes(cluster.members, [options.subject]);
  for (const { error } of options.subject === "" ? [] : chosen) if (error !== undefined) throw error;
  const { snapshot, node } = await takeSnapshot(chosen, { signal });
  write(describeSnapshot(snapshot, options.output, `taken and verified on ${node}`));
  return 0;
}

/** Prints the verified snapshots of all nodes. Returns exit code 0, or 3 if a node did not answer. */
export async function snapshotList(
  config: ClusterConfig,
  context: Context,
  { output }: Pick<SnapshotOptions, "output">,
): Promise<number> {
  await using cluster = await openCluster(config, context.signal, { greet: false });
  const { answers, failures } = await hear(cluster, context);
  const held = nodeSnapshots(answers);
  const problems = answers.flatMap(({ name, value }) =>
    value?.lastRun === undefined || value.lastRun.problem === "" ? [] : `${name}: ${value.lastRun.problem}`,
  );
  if (output === "json") context.write(`${JSON.stringify({ snapshots: held, problems }, null, 2)}\n`);
  else context.write(held.length === 0 ? "There is no verified snapshot.\n" : `${await snapshotTable(held)}\n`);
  if (output === "text")
    for (const problem of problems) context.warn(`problem with the last scheduled snapshot: ${problem}\n`);
  return failures.conclude(cluster.members.length);
}

/** Returns the snapshots of all nodes, and prints the nodes that do not answer. */
async function hear(
  { members }: OpenCluster,
  context: Context,
): Promise<{ readonly answers: NodeAnswer<ListSnapshotsResponse>[]; readonly failures: Failures }> {
  const failures = collectFailures(context);
  const answers = await readSnapshots(answering(members, failures), context.signal);
  for (const { error, name } of answers) if (error !== undefined) failures.failed(name, error);
  return { answers, failures };
}

/**
 * Verifies a snapshot again on every node that has it. Returns exit code 0, or 3 if a node did not answer; otherwise
 * throws.
 */
export async function snapshotVerify(
  config: ClusterConfig,
  context: Context,
  { output, subject }: SnapshotOptions,
): Promise<number> {
  const { signal, write } = context;
  await using cluster = await openCluster(config, signal, { greet: false });
  const { answers, failures } = await hear(cluster, context);
  const count = cluster.members.length;
  // If no node answers, it is unknown whether any node has the snapshot.
  if (answers.every(({ error }) => error !== undefined)) return failures.conclude(count);
  const { snapshot, nodes } = chooseSnapshot(nodeSnapshots(answers), subject || "latest");
  const holders = cluster.members.filter(({ node }) => nodes.includes(node.address.name));
  const verified = await forEachNode(holders, maxConcurrentNodes, (node) => node.etcd.verify(snapshot.id, signal));
  for (const { name, value } of verified) {
    if (value !== undefined) write(describeSnapshot(value, output, `verified on ${name}`));
  }
  const errors = verified.flatMap(({ error }) => error ?? []);
  conclude(errors, { done: 0, headline: "the snapshot is not valid on every node" });
  return failures.conclude(count);
}

function describeSnapshot(snapshot: Snapshot, output: Output, how: string): string {
  if (output === "json") return `${JSON.stringify(snapshot)}\n`;
  const { id, size, revision, keys, hash, uploaded } = snapshot;
  const where = uploaded === "" ? "" : `, uploaded to ${uploaded}`;
  const proved = `${megabytes(size)}, ${keys} keys at revision ${revision}, hash ${hash}`;
  return `${id}: ${how}: ${proved}${where}\n`;
}
