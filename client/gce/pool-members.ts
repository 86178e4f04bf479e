import { KhwError } from "../../proto/errors.ts";
import type { Step } from "../../proto/step.ts";
import type { Compute } from "./compute.ts";
import type { InstanceName, LoadBalancerConfig } from "./config.ts";
import { instanceReference, nameInLink, pathOf, regionalReference } from "./references.ts";

/** The paths of the members that the target pool lacks, and of the members that it must not have. */
interface Members {
  readonly missing: readonly string[];
  readonly foreign: readonly string[];
}

/**
 * Returns the step that requires the target pool to contain exactly the controllers. Missing controllers are added.
 * Other instances receive API traffic but may be in use, so they are reported as COMPUTE_DRIFT and never removed.
 */
export function poolMembersStep(config: LoadBalancerConfig): Step<Compute> {
  const pool = regionalReference(config, "targetPools", config.targetPool);
  return {
    id: "instances",
    title: `the controllers are in target pool ${pool.name}`,
    needs: ["target-pool"],
    async check(compute, signal) {
      const { missing, foreign } = await poolMembers(compute, config, signal);
      if (missing.length === 0 && foreign.length > 0) throw foreignInstances(config, foreign);
      if (missing.length === 0) return null;
      const others = foreign.length === 0 ? "" : `; it also has ${foreign.map(nameInLink).join(", ")}`;
      return { summary: `${missing.map(nameInLink).join(", ")} not in the pool${others}` };
    },
    async apply(compute, { signal }) {
      const { missing } = await poolMembers(compute, config, signal);
      if (missing.length > 0) await compute.changePool(pool, { verb: "addInstance", instances: missing }, signal);
    },
  };
}

/** A pool that does not exist has no members. */
export async function poolMembers(compute: Compute, config: LoadBalancerConfig, signal: AbortSignal): Promise<Members> {
  const found = await compute.get(regionalReference(config, "targetPools", config.targetPool), signal);
  const held = new Set(found?.instances.map(pathOf));
  const wanted = new Set(config.instances.map((instance) => instanceReference(config.project, instance).path));
  return {
    missing: [...wanted].filter((path) => !held.has(path)),
    foreign: [...held].filter((path) => !wanted.has(path)),
  };
}

/** Returns the pool members with the given names in any zone, including machines that no longer exist. */
export async function membersNamed(
  compute: Compute,
  config: LoadBalancerConfig,
  options: { readonly names: readonly string[]; readonly signal: AbortSignal },
): Promise<InstanceName[]> {
  const { foreign } = await poolMembers(compute, { ...config, instances: [] }, options.signal);
  const members = foreign.map((path) => ({ name: nameInLink(path), zone: zoneOf(path) }));
  return members.filter(({ name }) => options.names.includes(name));
}

function zoneOf(path: string): string {
  return path.split("/")[3] ?? "";
}

export function foreignInstances(config: LoadBalancerConfig, foreign: readonly string[]): KhwError {
  const { targetPool, region, project } = config;
  const [zone = ""] = foreign.map(zoneOf);
  const names = foreign.map(nameInLink).join(",");
  return new KhwError(
    "COMPUTE_DRIFT",
    `targetPools/${targetPool} has ${foreign.join(", ")}, which ${foreign.length === 1 ? "is not a controller" : "are not controllers"}`,
    {
      hint:
        `to remove them from the pool: gcloud compute target-pools remove-instances ${targetPool} --project ${project} ` +
        `--region ${region} --instances-zone ${zone} --instances ${names}`,
    },
  );
}
