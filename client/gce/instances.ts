import { KhwError } from "../../proto/errors.ts";
import type { Compute } from "./compute.ts";
import type { InstanceName } from "./config.ts";
import { instanceReference, nameInLink, type Place } from "./references.ts";
import type { Instance } from "./resources.ts";

/** A controller's machine in Compute Engine. */
export interface ResolvedInstance extends InstanceName {
  /** The internal address of the first interface. */
  readonly internalIp: string;
  /** Undefined if the instance has no external address. */
  readonly externalIp: string | undefined;
  /** The instance's state: RUNNING, TERMINATED, ... */
  readonly status: string;
}

export interface InstancePlace extends Place {
  /** The zone of all instances; if undefined, any zone in the region. */
  readonly zone?: string | undefined;
}

/**
 * Returns the named instances, in the order of the names.
 * @throws KhwError COMPUTE_FAILED with the names of all instances that are missing or found in several zones
 */
export async function resolveInstances(
  compute: Compute,
  names: readonly string[],
  options: { readonly place: InstancePlace; readonly signal: AbortSignal },
): Promise<ResolvedInstance[]> {
  const { place, signal } = options;
  const candidates = await Promise.all(
    names.map(async (name) => ({ name, found: await instancesOf(compute, name, { place, signal }) })),
  );
  const problems = candidates.flatMap(({ name, found }) => problemOf(name, found) ?? []);
  if (problems.length > 0) {
    throw new KhwError("COMPUTE_FAILED", `in ${placeName(place)}: ${problems.join("; ")}`, {
      hint: `run gcloud compute instances list --project ${place.project}, then check --nodes, gce.region and gce.zone`,
    });
  }
  return candidates.flatMap(({ found }) => found.map(toResolved));
}

/**
 * Returns the named instances with their zones, in the order of the names. Calls the API only if the zone is not
 * configured.
 * @throws as resolveInstances does
 */
export async function locateInstances(
  compute: Compute,
  names: readonly string[],
  options: { readonly place: InstancePlace; readonly signal: AbortSignal },
): Promise<InstanceName[]> {
  const { zone } = options.place;
  if (zone !== undefined) return names.map((name) => ({ name, zone }));
  const resolved = await resolveInstances(compute, names, options);
  return resolved.map(({ name, zone }) => ({ name, zone }));
}

async function instancesOf(
  compute: Compute,
  name: string,
  { place, signal }: { place: InstancePlace; signal: AbortSignal },
): Promise<readonly Instance[]> {
  if (place.zone !== undefined) {
    const found = await compute.get(instanceReference(place.project, { name, zone: place.zone }), signal);
    return found === undefined ? [] : [found];
  }
  // A target pool accepts only instances in its own region.
  const everywhere = await compute.instancesNamed(place.project, name, signal);
  return everywhere.filter(({ zone }) => nameInLink(zone).startsWith(`${place.region}-`));
}

function problemOf(name: string, found: readonly Instance[]): string | undefined {
  const [instance] = found;
  if (instance === undefined) return `there is no instance ${name}`;
  if (found.length > 1) return `${name} is in several zones: ${found.map(({ zone }) => nameInLink(zone)).join(", ")}`;
  return undefined;
}

function toResolved({ name, zone, networkInterfaces, status }: Instance): ResolvedInstance {
  const [nic] = networkInterfaces;
  const natIP = nic?.accessConfigs.find((access) => access.natIP !== "")?.natIP;
  return { name, zone: nameInLink(zone), internalIp: nic?.networkIP ?? "", externalIp: natIP, status };
}

function placeName({ project, region, zone }: InstancePlace): string {
  return `project ${project}, ${zone === undefined ? `region ${region}` : `zone ${zone}`}`;
}
