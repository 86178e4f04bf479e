import { setTimeout } from "node:timers/promises";
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
  /** The server errors that count: all errors since the API server started, or the errors of the next seconds. */
  readonly errors: "since start" | "new";
  readonly signal: AbortSignal;
  readonly report: (result: CheckResult) => void;
}

/**
 * Checks the cluster after its first node was upgraded: the node is healthy, the controllers have leaders, and the new
 * API server does not answer many requests with errors.
 * @throws KhwError VERIFY_FAILED with every failed check
 */
export async function checkCanary(node: AgentNode, options: CanaryOptions): Promise<void> {
  const { plan, waitMillis, errors, signal, report } = options;
  const { ca, certificate, key } = plan.admin;
  const credentials = { ca, certificate, key };
  const before = errors === "new" ? () => readCounts(node, { credentials, signal }) : undefined;
  const checks = [nodeCheck(node), ...leaderChecks(openPublicApi(plan)), errorRateCheck(node, credentials, before)];
  const results = await verify(checks, { signal, waitMillis, report });
  const failed = results.filter(({ error }) => error !== undefined);
  if (failed.length === 0) return;
  const texts = failed.map(({ title, error }) => `${title}: ${error?.message ?? ""}`);
  throw new KhwError("VERIFY_FAILED", `the first node does not pass its checks: ${texts.join("; ")}`, {
    node: node.address.name,
    hint: "correct this, then run the same command again; or go back: khw-client upgrade --back",
  });
}

interface Counts {
  readonly requests: number;
  readonly serverErrors: number;
}

type ApiCredentials = Parameters<AgentNode["inspectApi"]>[0];

const sampleMillis = 10_000;

/** Reads the counts of an API server, and waits until it has answered more requests. */
async function readCounts(
  node: AgentNode,
  { credentials, signal }: { readonly credentials: ApiCredentials; readonly signal: AbortSignal },
): Promise<Counts> {
  const counts = await node.inspectApi(credentials, signal);
  await setTimeout(sampleMillis, undefined, { signal });
  return counts;
}

/**
 * Returns a check that fails if an API server answers many requests with server errors. `before` reads earlier counts,
 * which are subtracted. If it fails, the next run of the check calls it again. Its first result is kept. Default: the
 * earlier counts are zero.
 */
export function errorRateCheck(
  node: AgentNode,
  credentials: ApiCredentials,
  before: () => Promise<Counts> = async () => ({ requests: 0, serverErrors: 0 }),
): Check {
  let earlier: Counts | undefined;
  return {
    title: `${node.address.name}: its API server answers without errors`,
    run: async (signal) => {
      earlier ??= await before();
      const counts = await node.inspectApi(credentials, signal);
      const requests = counts.requests - earlier.requests;
      const serverErrors = counts.serverErrors - earlier.serverErrors;
      if (serverErrors <= mostErrors || serverErrors <= requests * errorShare) return;
      throw new KhwError("VERIFY_FAILED", `${serverErrors} of ${requests} answers were server errors`, {
        hint: `run khw-client logs ${node.address.name} kube-apiserver`,
      });
    },
  };
}
