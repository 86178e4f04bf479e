import { conclude } from "../cluster/combine-errors.ts";
import type { OpenCluster } from "../cluster/open.ts";
import type { ProgressOptions } from "../progress/progress.ts";
import { joinNode } from "./apply-to-node.ts";
import { oneByOne } from "./one-by-one.ts";
import type { RolloutPlan } from "./plan.ts";

/**
 * Makes the new controllers members of etcd, one at a time, because etcd accepts only one learner at a time. Each new
 * member can vote before the next controller joins. No other controller is changed.
 * @throws KhwError if a controller
 * does not join. To continue, the user runs the same command again
 */
export async function joinEtcd(
  { config: { timeouts } }: Pick<OpenCluster, "config">,
  { work, membership: { joining, clusterId } }: Pick<RolloutPlan, "work" | "membership">,
  options: ProgressOptions,
): Promise<void> {
  const items = joining.flatMap((name) => work.find(({ node }) => node.address.name === name) ?? []);
  if (items.length === 0) return;
  const { progress } = options;
  progress.emit({ kind: "begin", tracks: [...joining] });
  const outcomes = await oneByOne(items, {
    ...options,
    interrupted: (name) => `${name} continues to join etcd; run the command again to continue with it`,
    work: (item) => joinNode(item, { ...options, clusterId, timeoutMillis: timeouts.node }),
  });
  await progress.settled();
  if (options.signal.aborted) return;
  conclude(
    outcomes.flatMap(({ error }) => error ?? []),
    {
      done: outcomes.filter(({ error }) => error === undefined).length,
      headline: "not every new controller has joined etcd; the existing controllers are unchanged",
      hint: "correct this, then run the command again; it continues from here",
    },
  );
}
