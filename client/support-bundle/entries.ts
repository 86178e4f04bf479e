import { toDetail, toKhwError } from "../../proto/errors.ts";
import type { OpenCluster } from "../cluster/open.ts";
import type { ClusterConfig } from "../config/schema.ts";
import { examine } from "../doctor/doctor.ts";
import { openAnyway } from "../doctor/open.ts";
import { reportDocument, reportText } from "../doctor/report.ts";
import type { ArchiveEntry } from "./archive.ts";
import { mask } from "./mask.ts";
import { entryOf, json, nodeEntries, type NodeEntriesOptions, unreachableEntry } from "./node-entries.ts";
import { together } from "./together.ts";

export interface BundleOptions extends NodeEntriesOptions {
  readonly clientVersion: string;
}

/** The number of nodes to read at once. It is small to limit memory use, because journals are long. */
const nodesInHand = 4;

/** Yields all entries of the bundle. For each failure, yields an entry with the reason. */
export async function* bundleEntries(
  load: () => Promise<ClusterConfig>,
  options: BundleOptions,
): AsyncGenerator<ArchiveEntry, void> {
  const { clientVersion, signal, sinceUnixMillis, journals } = options;
  const made = new Date().toISOString();
  const since = new Date(sinceUnixMillis).toISOString();
  const client = {
    version: clientVersion,
    node: process.versions.node,
    platform: `${process.platform}-${process.arch}`,
  };
  yield { path: "manifest.json", text: json({ made, since, client, journals, masked: "see docs/doctor.md" }) };
  const results = await examine(load, { signal, clientVersion });
  yield { path: "doctor.txt", text: mask(reportText(results, { paint: (_, text) => text, verbose: true })) };
  yield { path: "doctor.json", text: json(reportDocument(results)) };
  let config: ClusterConfig;
  try {
    config = await load();
  } catch (error) {
    yield { path: "config.json", text: json({ error: toDetail(toKhwError(error)) }) };
    return;
  }
  yield { path: "config.json", text: json(config) };
  const { cluster: opening, error } = await openAnyway(config, signal);
  if (error !== undefined) yield { path: "load-balancer.json", text: json({ error: toDetail(error) }) };
  if (opening === undefined) return;
  await using cluster = opening;
  if (error === undefined) yield* loadBalancerEntries(cluster, signal);
  const sources = cluster.members.map(({ node, error: away }) =>
    away === undefined
      ? () => nodeEntries(node, options)
      : async function* (): AsyncGenerator<ArchiveEntry, void> {
          yield unreachableEntry(node.address.name, away);
        },
  );
  yield* together(sources, nodesInHand);
}

async function* loadBalancerEntries(
  { cloud, instances }: OpenCluster,
  signal: AbortSignal,
): AsyncGenerator<ArchiveEntry, void> {
  if (cloud === undefined) return;
  const { compute, loadBalancer } = cloud;
  const { loadBalancerReferences } = await import("../gce/load-balancer.ts");
  const { poolHealth } = await import("../gce/health.ts");
  yield await entryOf("load-balancer.json", signal, async () => {
    const references = Object.entries(loadBalancerReferences(loadBalancer));
    const found = await Promise.all(
      references.map(
        async ([name, reference]) => [name, (await compute.get(reference, signal)) ?? "does not exist"] as const,
      ),
    );
    const health = await poolHealth(compute, loadBalancer, signal);
    return json({ resources: Object.fromEntries(found), health, instances });
  });
}
