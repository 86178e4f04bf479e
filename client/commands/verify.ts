import { KhwError } from "../../proto/errors.ts";
import { openCluster } from "../cluster/open.ts";
import type { ClusterConfig } from "../config/schema.ts";
import type { Context } from "../terminal/context.ts";
import { prepare } from "../rollout/plan.ts";
import { openProgress, type Output } from "../progress/open.ts";
import { findDrained, verification } from "../verify/verification.ts";
import { verify as run } from "../verify/verify.ts";

export interface VerifyCommandOptions {
  readonly output: Output;
}

/** Verifies from outside that the cluster works; prints one line per check. Changes nothing. */
export async function verify(
  config: ClusterConfig,
  context: Context,
  { output }: VerifyCommandOptions,
): Promise<number> {
  const { signal } = context;
  const progress = await openProgress(output, context);
  await using cluster = await openCluster(config, signal);
  const prepared = await prepare(cluster, { signal, mayCreateAddress: false, newCredentials: "refuse" });
  for (const error of prepared.unreachable)
    progress.emit({ kind: "check", title: `${error.node ?? "?"}: the agent answers`, error });
  const drained = await findDrained(cluster.members, signal);
  const results = await run(
    verification(cluster, { ...prepared, nodes: prepared.work.map(({ node }) => node), drained, checkAnonymous: true }),
    {
      signal,
      waitMillis: 0,
      report: (check) => progress.emit({ kind: "check", ...check }),
    },
  );
  const failed = results.filter(({ error }) => error !== undefined).length + prepared.unreachable.length;
  if (failed === 0) return 0;
  const [hint] = results.flatMap(({ error }) => error?.hint ?? []);
  throw new KhwError("VERIFY_FAILED", `${failed} of ${results.length + prepared.unreachable.length} checks failed`, {
    hint,
  });
}
