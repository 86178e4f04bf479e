import { applySteps } from "../../proto/step.ts";
import type { OpenCluster } from "../cluster/open.ts";
import { loadBalancerTrack, note, type ProgressOptions } from "../progress/progress.ts";

/**
 * Deletes the load balancer of a cluster, if khw manages a load balancer. Keeps the static address, because other
 * resources may depend on this address.
 * @throws KhwError the error of the first step that failed
 */
export async function deleteLoadBalancer(
  { cloud, config }: Pick<OpenCluster, "cloud" | "config">,
  { progress, signal }: ProgressOptions,
): Promise<void> {
  if (cloud === undefined) return;
  const { compute, loadBalancer } = cloud;
  const { deleteLoadBalancerSteps } = await import("../gce/delete-load-balancer.ts");
  const { membersNamed } = await import("../gce/pool-members.ts");
  const names = config.nodes.map(({ name }) => name);
  const instances = await membersNamed(compute, loadBalancer, { names, signal });
  const steps = deleteLoadBalancerSteps({ ...loadBalancer, instances }, { address: false });
  progress.emit({ kind: "begin", tracks: [loadBalancerTrack] });
  progress.emit({ kind: "steps", track: loadBalancerTrack, total: steps.length });
  const results = await applySteps(steps, compute, {
    signal,
    emit: (event) => progress.emit({ kind: "loadBalancer", event }),
  });
  const changed = results.filter(({ outcome }) => outcome === "changed").length;
  const failed = results.find((result) => result.outcome === "failed");
  const error = failed?.error.at({ node: loadBalancerTrack });
  progress.emit({ kind: "end", track: loadBalancerTrack, changed, error });
  if (error !== undefined) throw error;
  note(progress, "the load balancer's static address is kept; `khw-client lb delete --release-address` releases it");
}
