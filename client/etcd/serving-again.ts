import { KhwError } from "../../proto/errors.ts";
import { Health } from "../../proto/gen/khw/agent/v1/agent.ts";
import { type Look, waitFor } from "../../proto/wait-for.ts";
import type { Member } from "../cluster/open.ts";
import { maxConcurrentNodes, forEachNode } from "../cluster/for-each-node.ts";
import { combineErrors } from "../cluster/combine-errors.ts";

const intervalMillis = 1_000;

/**
 * Waits until every API server is healthy.
 * @throws KhwError VERIFY_FAILED after the time limit, with the reason for each API server that is still unhealthy
 */
export async function servingAgain(
  members: readonly Member[],
  { signal, timeoutMillis }: { readonly signal: AbortSignal; readonly timeoutMillis: number },
): Promise<void> {
  const check = async (): Promise<Look<void>> => {
    const answers = await forEachNode(members, maxConcurrentNodes, async (node) => {
      const { components } = await node.status(signal);
      return components.find(({ name }) => name === "kube-apiserver");
    });
    const errors = answers.flatMap(({ name, value, error }) => {
      if (error !== undefined) return error;
      // The node may have only etcd so far.
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
