import { KhwError } from "../../proto/errors.ts";
import type { Step } from "../../proto/step.ts";
import type { Compute } from "./compute.ts";
import type { LoadBalancerConfig } from "./config.ts";
import { loadBalancerReferences } from "./load-balancer.ts";
import { foreignInstances, poolMembers } from "./pool-members.ts";
import { pathOf, type Reference } from "./references.ts";
import { refusedBecause } from "./refusal.ts";
import { type Look, waitFor } from "../../proto/wait-for.ts";

export interface DeleteOptions {
  /** Whether to also release the static address. Certificates for that address then become useless. */
  readonly address: boolean;
}

/**
 * Removes the load balancer's resources. Each resource is removed before the resources that it uses. Keeps resources
 * that something else is using, and reports them as COMPUTE_DRIFT. For example, keeps a forwarding rule that points to
 * another target. Also keeps a pool with other instances, and everything that belongs to that pool.
 */
export function deleteLoadBalancerSteps(config: LoadBalancerConfig, options: DeleteOptions): Step<Compute>[] {
  const { address, healthCheck, firewall, pool, forwardingRule } = loadBalancerReferences(config);
  const first = "instances";
  return [
    onlyControllers(first, config),
    absent("firewall", firewall, [first]),
    { ...absent("forwarding-rule", forwardingRule, [first]), check: leadsToPool },
    absent("target-pool", pool, ["forwarding-rule"]),
    absent("health-check", healthCheck, ["target-pool"]),
    ...(options.address ? [absent("address", address, ["forwarding-rule"])] : []),
  ];

  async function leadsToPool(compute: Compute, signal: AbortSignal) {
    const found = await compute.get(forwardingRule, signal);
    if (found === undefined) return null;
    if (pathOf(found.target) === pool.path) return { summary: "exists" };
    throw new KhwError(
      "COMPUTE_DRIFT",
      `forwardingRules/${forwardingRule.name} points to ${pathOf(found.target) || "a backend service"}, not ${pool.path}`,
      { hint: "khw did not create this rule; delete it yourself if it is not needed" },
    );
  }
}

/** Blocks all deletions while other instances are in the pool. */
function onlyControllers(id: string, config: LoadBalancerConfig): Step<Compute> {
  return {
    id,
    title: `target pool ${config.targetPool} contains only controllers`,
    needs: [],
    async check(compute, signal) {
      const { foreign } = await poolMembers(compute, config, signal);
      if (foreign.length > 0) throw foreignInstances(config, foreign);
      return null;
    },
    // There is nothing to apply. The check only passes or throws, because khw must not remove other instances from the
    // pool.
    apply: async () => {},
  };
}

function absent(id: string, reference: Reference, needs: readonly string[]): Step<Compute> {
  return {
    id,
    title: `${reference.kind}/${reference.name} does not exist`,
    needs,
    check: async (compute, signal) => ((await compute.get(reference, signal)) ? { summary: "exists" } : null),
    apply: (compute, { signal, progress }) => deleteOnceFree(compute, reference, { signal, progress }),
  };
}

/** The time that Google needs to notice that a deleted resource no longer uses another resource. */
const settleMillis = 20_000;

async function deleteOnceFree(
  compute: Compute,
  reference: Reference,
  { signal, progress }: { signal: AbortSignal; progress: (text: string) => void },
): Promise<void> {
  const check = async (): Promise<Look<void>> => {
    try {
      return { reached: await compute.delete(reference, signal) };
    } catch (error) {
      if (refusedBecause(error, "notFound")) return { reached: undefined };
      if (!refusedBecause(error, "inUse")) throw error;
      return { seen: "still in use", cause: error };
    }
  };
  await waitFor({
    what: `${reference.kind}/${reference.name} is in use`,
    check,
    deadlineMillis: settleMillis,
    intervalMillis: 1000,
    signal,
    progress,
    late: ({ cause }) => cause,
  });
}
