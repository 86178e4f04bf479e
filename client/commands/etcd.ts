import { oneLine } from "../../proto/sanitize.ts";
import { openCluster } from "../cluster/open.ts";
import { painter } from "../terminal/colour.ts";
import type { ClusterConfig } from "../config/schema.ts";
import type { Context } from "../terminal/context.ts";
import { etcdProblems, memberOf, type NodeEtcd, readEtcd, unfinishedRestore } from "../etcd/overview.ts";
import { memberTable } from "../etcd/tables.ts";
import type { Output } from "../progress/open.ts";

/**
 * Prints the state of every etcd member. Returns exit code 0 if all members are healthy and belong to one cluster with
 * one leader; otherwise 1.
 */
export async function etcdStatus(
  config: ClusterConfig,
  context: Context,
  { output }: { readonly output: Output },
): Promise<number> {
  await using cluster = await openCluster(config, context.signal, { greet: false });
  const nodes = await readEtcd(cluster.members, context.signal);
  context.signal.throwIfAborted();
  const problems = etcdProblems(nodes);
  context.write(output === "json" ? document(nodes, problems) : await describeEtcd(nodes, problems, context));
  return problems.length === 0 ? 0 : 1;
}

function document(nodes: readonly NodeEtcd[], problems: readonly string[]): string {
  const told = nodes.map((node) => ({
    node: node.node,
    member: memberOf(node) ?? null,
    reason: node.error?.message ?? node.status?.reason ?? "",
    unfinishedRestore: unfinishedRestore(node)?.snapshotId ?? null,
  }));
  return `${JSON.stringify({ healthy: problems.length === 0, problems, nodes: told }, null, 2)}\n`;
}

async function describeEtcd(
  nodes: readonly NodeEtcd[],
  problems: readonly string[],
  context: Context,
): Promise<string> {
  const paint = painter(context);
  const [member] = nodes.flatMap((node) => memberOf(node) ?? []);
  const lines = problems.map((problem) => `${paint("red", "✖")} ${oneLine(problem)}`);
  const end = lines.length === 0 ? [`All is well: cluster ${member?.clusterId ?? "?"}.`] : lines;
  return `${[await memberTable(nodes), "", ...end].join("\n")}\n`;
}
