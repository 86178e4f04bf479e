import { KhwError } from "../../proto/errors.ts";
import { refuseFindings } from "../cluster/combine-errors.ts";
import type { OpenCluster } from "../cluster/open.ts";
import { withoutContent } from "../config/desired.ts";
import { pinPrograms } from "../lock/lock.ts";
import { changedReleaseObstacles } from "../release/unchanged.ts";
import { prepare } from "./plan.ts";

/** A step that would change a node, because the node differs from its desired state. */
export interface NodeDifference {
  readonly node: string;
  /** The id of the step that differs. */
  readonly step: string;
  readonly what: string;
}

/**
 * Returns the changes that a bootstrap would make on the nodes now.
 * @throws KhwError if a node cannot be reached, or if the bootstrap would change a release
 */
export async function nodeDifferences(cluster: OpenCluster, signal: AbortSignal): Promise<NodeDifference[]> {
  const prepared = await prepare(cluster, { signal, mayCreateAddress: false, newCredentials: "refuse" });
  const { work, unreachable } = prepared;
  refuseFindings(unreachable, "every node must be reachable, because every API server must get the new key");
  refuseFindings(changedReleaseObstacles(cluster.config, prepared));
  const plans = await Promise.all(
    (await pinPrograms(cluster, work)).map(async ({ node, desired }) => {
      const { steps } = await node.plan(withoutContent(desired), signal);
      return steps.flatMap(({ id: step, drift, error }): NodeDifference[] => {
        const what = drift ?? error?.message;
        return what === undefined ? [] : [{ node: node.address.name, step, what }];
      });
    }),
  );
  return plans.flat();
}

/** @throws KhwError NODES_DIFFER with the first difference, because a rotation must not make any other changes */
export function refuseDifferences([first]: readonly NodeDifference[]): void {
  if (first === undefined) return;
  throw new KhwError(
    "NODES_DIFFER",
    `${first.step}: ${first.what}; a rotation can start only if no node differs from its desired state`,
    {
      node: first.node,
      hint: "run khw-client plan to see the differences, and khw-client bootstrap to remove them",
    },
  );
}
