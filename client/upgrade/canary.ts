import { KhwError } from "../../proto/errors.ts";
import type { AgentNode } from "../cluster/agent-client.ts";
import type { Prepared } from "../rollout/plan.ts";
import { openPublicApi } from "../verify/verification.ts";
import { type Check, type CheckResult, leaderChecks, nodeCheck, verify } from "../verify/verify.ts";

/**
 * The tolerated server errors, as a number and as a share of all requests. Some requests fail while an API server
 * starts, for example because a webhook is not ready.
 */
const [mostErrors, errorShare] = [20, 0.05];

export interface CanaryOptions {
  readonly plan: Pick<Prepared, "admin" | "publicAddress">;
  /** How long failing checks are repeated. */
  readonly waitMillis: number;
  /** Whether to check the share of server errors since the API server started. */
  readonly errorRate: boolean;
  readonly signal: AbortSignal;
  readonly report: (result: CheckResult) => void;
}

/**
 * Checks the cluster after its first node was upgraded: the node is healthy, the controllers have leaders, and the new
 * API server does not answer many requests with errors.
 * @throws KhwError VERIFY_FAILED with every failed check
 */
export async function checkCanary(node: AgentNode, options: CanaryOptions): Promise<void> {
  const { plan, waitMillis, errorRate, signal, report } = options;
  const { ca, certificate, key } = plan.admin;
  const checks = [
    nodeCheck(node),
    ...leaderChecks(openPublicApi(plan)),
    ...(errorRate ? [errorRateCheck(node, { ca, certificate, key })] : []),
  ];
  const results = await verify(checks, { signal, waitMillis, report });
  const failed = results.filter(({ error }) => error !== undefined);
  if (failed.length === 0) return;
  const texts = failed.map(({ title, error }) => `${title}: ${error?.message ?? ""}`);
  throw new KhwError("VERIFY_FAILED", `the first node does not pass its checks: ${texts.join("; ")}`, {
    node: node.address.name,
    hint: "correct this, then run the same command again; or go back: khw-client upgrade --back",
  });
}

/** Returns a check that fails if an API server answers many requests with server errors. */
export function errorRateCheck(node: AgentNode, credentials: Parameters<AgentNode["inspectApi"]>[0]): Check {
  return {
    title: `${node.address.name}: its API server answers without errors`,
    run: async (signal) => {
      const { requests, serverErrors } = await node.inspectApi(credentials, signal);
      if (serverErrors <= mostErrors || serverErrors <= requests * errorShare) return;
      throw new KhwError("VERIFY_FAILED", `${serverErrors} of ${requests} answers were server errors`, {
        hint: `run khw-client logs ${node.address.name} kube-apiserver`,
      });
    },
  };
}
