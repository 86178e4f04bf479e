import type { Cloud } from "../cluster/open.ts";
import { instanceReference, regionalReference } from "../gce/references.ts";
import { membersNamed } from "../gce/pool-members.ts";

/** Removes a controller from the load balancer's target pool. Returns false if the controller is not in the pool. */
export async function leavePool(
  { compute, loadBalancer }: Cloud,
  { name, signal }: { readonly name: string; readonly signal: AbortSignal },
): Promise<boolean> {
  const found = await membersNamed(compute, loadBalancer, { names: [name], signal });
  if (found.length === 0) return false;
  const pool = regionalReference(loadBalancer, "targetPools", loadBalancer.targetPool);
  const instances = found.map((instance) => instanceReference(loadBalancer.project, instance).path);
  await compute.changePool(pool, { verb: "removeInstance", instances }, signal);
  return true;
}
