import { KhwError } from "../../proto/errors.ts";
import { Health } from "../../proto/gen/khw/agent/v1/agent.ts";
import { type Look, waitFor } from "../../proto/wait-for.ts";
import type { Member } from "../cluster/open.ts";
import { maxConcurrentNodes, forEachNode } from "../cluster/for-each-node.ts";
import { combineErrors } from "../cluster/combine-errors.ts";
import { etcdProblems, memberOf, type NodeEtcd, readEtcd } from "./overview.ts";
import type { Source } from "./distribute.ts";

const intervalMillis = 1_000;

export interface WaitOptions {
  readonly signal: AbortSignal;
  readonly timeoutMillis: number;
}

/**
 * Checks etcd after a restore, and waits until every API server is healthy. Returns a sentence about the result.
 * @throws KhwError VERIFY_FAILED
 */
export async function confirmRestored(
  members: readonly Member[],
  { snapshot }: Source,
  options: WaitOptions,
): Promise<string> {
  const nodes = await readEtcd(members, options.signal);
  const problems = etcdProblems(nodes);
  if (problems.length > 0) {
    throw new KhwError("VERIFY_FAILED", `etcd was restored, but is not healthy: ${problems.join("; ")}`, {
      hint: "run `khw-client etcd status` and `khw-client status`",
    });
  }
  await servingAgain(members, options);
  return describeRestored(snapshot.id, nodes);
}

function describeRestored(snapshotId: string, nodes: readonly NodeEtcd[]): string {
  const [member] = nodes.flatMap((node) => memberOf(node) ?? []);
  const kept = nodes.flatMap(({ node, status }) =>
    status?.restore?.keptAside ? `${node}:${status.restore.keptAside}` : [],
  );
  const aside = kept.length === 0 ? "" : `; the old data is kept until you remove it: ${kept.join(", ")}`;
  return `etcd is restored from ${snapshotId}: cluster ${member?.clusterId ?? "?"}${aside}`;
}

/**
 * Waits until every API server is healthy.
 * @throws KhwError VERIFY_FAILED after the time limit, with the reason for each API server that is still unhealthy
 */
export async function servingAgain(members: readonly Member[], { signal, timeoutMillis }: WaitOptions): Promise<void> {
  const check = async (): Promise<Look<void>> => {
    const answers = await forEachNode(members, maxConcurrentNodes, async (node) => {
      const { components } = await node.status(signal);
      return components.find(({ name }) => name === "kube-apiserver");
    });
    const errors = answers.flatMap(({ name, value, error }) => {
      if (error !== undefined) return error;
      // The node may not have an API server yet.
      if (value === undefined || value.activeState === "not-found" || value.health === Health.HEALTH_HEALTHY) return [];
      return new KhwError("NOT_READY", `kube-apiserver: ${value.reason}`, { node: name });
    });
    if (errors.length === 0) return { reached: undefined };
    const failure = combineErrors(errors, {
      code: "VERIFY_FAILED",
      headline: "etcd is restored, but these API servers are not healthy yet",
      hint: "run `khw-client status` and `khw-client doctor`",
    });
    return { seen: failure.message, cause: failure };
  };
  await waitFor({
    what: "the API servers are not healthy",
    check,
    deadlineMillis: timeoutMillis,
    intervalMillis,
    signal,
    late: ({ cause }) => cause,
  });
}
