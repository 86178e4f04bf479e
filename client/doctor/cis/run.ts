import type { AgentNode } from "../../cluster/agent-client.ts";
import { isUnknownCall } from "../../cluster/call-errors.ts";
import { forEachNode, maxConcurrentNodes } from "../../cluster/for-each-node.ts";
import type { OpenCluster } from "../../cluster/open.ts";
import { KhwError } from "../../../proto/errors.ts";
import { checksIn } from "./check.ts";
import { type Edition, editionFor } from "./edition.ts";
import { toEvidence } from "./evidence.ts";
import { judge } from "./judge.ts";
import { type CisResult } from "./result.ts";
import { cisChecks } from "./table.ts";

/** The results of the benchmark on all nodes. */
export interface CisReport {
  /** Each node's Kubernetes release, and the benchmark edition for that release. */
  readonly nodes: readonly { readonly node: string; readonly version: string; readonly edition: Edition }[];
  readonly results: readonly CisResult[];
  /** The reasons why nodes could not be checked. */
  readonly errors: readonly KhwError[];
}

/** Runs the benchmark's checks on every node without changing anything. */
export async function runCis({ members }: OpenCluster, signal: AbortSignal): Promise<CisReport> {
  const answers = await forEachNode(members, maxConcurrentNodes, (node) => checkNode(node, signal));
  signal.throwIfAborted();
  return {
    nodes: answers.flatMap(({ value }) => (value === undefined ? [] : [value.node])),
    results: answers.flatMap(({ value }) => value?.results ?? []),
    errors: answers.flatMap(({ error }) => error ?? []),
  };
}

async function checkNode(node: AgentNode, signal: AbortSignal) {
  const { name } = node.address;
  const { components } = await node.status(signal);
  const version = components.find((component) => component.name === "kube-apiserver")?.version ?? "";
  if (version === "") {
    const hint = "run khw-client bootstrap";
    throw new KhwError("COMPONENT_MISSING", "kube-apiserver is not installed", { node: name, hint });
  }
  const edition = editionFor(version);
  const evidence = toEvidence(await node.hardening(signal).catch((error: unknown) => rethrowUnknown(error, name)));
  const results = checksIn(edition, cisChecks).map((check) => judge(check, { node: name, edition, evidence }));
  return { node: { node: name, version, edition }, results };
}

function rethrowUnknown(error: unknown, node: string): never {
  if (!(error instanceof KhwError) || !isUnknownCall(error)) throw error;
  const hint = "khw-client agent upgrade --deb FILE";
  throw new KhwError("VERSION_SKEW", "the node's agent is too old for this check", { node, hint, cause: error });
}

/** Whether every check ran on every node and every failed check has a reason. */
export function isCompliant({ results, errors }: CisReport): boolean {
  return (
    errors.length === 0 &&
    results.every(({ outcome, reason }) => outcome !== "not run" && (outcome !== "fail" || reason !== undefined))
  );
}
