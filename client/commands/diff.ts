import { fromDetail, type KhwError, toDetail } from "../../proto/errors.ts";
import type { GetPlanResponse } from "../../proto/gen/khw/agent/v1/agent.ts";
import { selectNodes } from "../cluster/select-nodes.ts";
import { openCluster, type OpenCluster } from "../cluster/open.ts";
import type { ClusterConfig } from "../config/schema.ts";
import type { Context } from "../terminal/context.ts";
import { type NodeAnswer, maxConcurrentNodes, forEachNode } from "../cluster/for-each-node.ts";
import type { Output } from "../progress/open.ts";
import { leftToYou } from "../progress/step-text.ts";
import { type ManifestsDiff, diffManifests, manifestsText } from "../manifests/diff.ts";
import { readManifests } from "../manifests/read.ts";
import { conclude } from "../cluster/combine-errors.ts";
import { unifiedDiff } from "../terminal/unified-diff.ts";

export interface DiffOptions {
  readonly output: Output;
  /** The node arguments; if empty, all nodes. */
  readonly nodes: readonly string[];
  /** The differences between the cluster's objects and the folder of manifests; absent if they were not requested. */
  readonly objects?: ManifestsDiff | undefined;
}

interface NodeDrift {
  readonly node: string;
  readonly plan?: GetPlanResponse;
  readonly errors: readonly KhwError[];
}

/** See diffNodes. */
export async function diff(config: ClusterConfig, context: Context, options: DiffOptions): Promise<number> {
  const manifests = options.nodes.length === 0 ? await readManifests(config) : undefined;
  const objects = manifests === undefined ? undefined : await diffManifests(manifests, config, context.signal);
  await using cluster = await openCluster(config, context.signal);
  return await diffNodes(cluster, context, { ...options, objects });
}

/**
 * Prints how the nodes differ from the desired state that their agents have saved. Prints one line per step, and a
 * unified diff from the current to the desired text for each text file. Like diff(1), returns exit code 0 if nothing
 * differs, otherwise 1.
 */
export async function diffNodes(
  cluster: OpenCluster,
  context: Context,
  { output, nodes, objects }: DiffOptions,
): Promise<number> {
  const { signal, write } = context;
  const chosen = nodes.length === 0 ? cluster.members : selectNodes(cluster.members, nodes);
  const drifts = (await forEachNode(chosen, maxConcurrentNodes, (node) => node.drift(signal))).map(toDrift);
  write(
    output === "json"
      ? toJson(drifts, objects)
      : [...drifts.map((drift) => toText(drift, context)), manifestsText(objects)].join(""),
  );
  const errors = [...drifts.flatMap((drift) => drift.errors), ...(objects?.errors ?? [])];
  conclude(errors, {
    done: 0,
    headline: objects === undefined ? "not every node could be compared" : "not everything could be compared",
  });
  const same = drifts.every(({ plan }) => differing(plan).length === 0) && (objects?.rows ?? []).length === 0;
  return same ? 0 : 1;
}

function toDrift({ name: node, value: plan, error }: NodeAnswer<GetPlanResponse>): NodeDrift {
  if (plan === undefined) return { node, errors: [error] };
  const errors = plan.steps.flatMap(({ error }) => (error === undefined ? [] : [fromDetail(error).at({ node })]));
  return { node, plan, errors };
}

interface Differing {
  readonly id: string;
  readonly title: string;
  readonly drift: string;
  /** The action that a person must take, because the agent does not repair this difference. */
  readonly remedy?: string;
}

function differing(plan: GetPlanResponse | undefined): readonly Differing[] {
  return (plan?.steps ?? []).flatMap(({ id, title, drift, remedy }) =>
    drift === undefined ? [] : [{ id, title, drift, ...(remedy === undefined ? {} : { remedy }) }],
  );
}

function toText({ node, plan }: NodeDrift, { terminal, env }: Context): string {
  const colours = terminal && (env["NO_COLOR"] ?? "") === "";
  const lines = differing(plan).map(({ id, drift, remedy }) => {
    const texts = (plan?.differences ?? []).filter(({ step }) => step === id);
    return `${node}: ${id}: ${remedy === undefined ? drift : leftToYou(drift, remedy)}\n${texts.map((text) => unifiedDiff(text, { node, colours })).join("")}`;
  });
  return lines.join("");
}

function toJson(drifts: readonly NodeDrift[], objects: ManifestsDiff | undefined): string {
  const nodes = drifts.map(({ node, plan, errors }) => ({
    node,
    steps: differing(plan),
    differences: (plan?.differences ?? []).map((difference) => ({
      ...difference,
      diff: unifiedDiff(difference, { node, colours: false }),
    })),
    errors: errors.map(toDetail),
  }));
  return `${JSON.stringify({ nodes, ...(objects === undefined ? {} : { manifests: objects.rows }) }, null, 2)}\n`;
}
