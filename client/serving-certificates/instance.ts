import { show } from "../../proto/validate.ts";
import type { Compute } from "../gce/compute.ts";
import { nameInLink, networkPath, pathOf } from "../gce/references.ts";
import type { Instance } from "../gce/resources.ts";

/** The cluster's project and network in Compute Engine. */
export interface ComputePlace {
  readonly project: string;
  /** The VPC network's name. Addresses in other networks do not belong to the cluster. */
  readonly network: string;
}

/** An instance, as Compute Engine reports it. */
export interface NodeInstance {
  readonly name: string;
  readonly id: string;
  readonly zone: string;
  readonly dnsNames: ReadonlySet<string>;
  readonly addresses: ReadonlySet<string>;
}

export interface FindInstanceOptions {
  readonly place: ComputePlace;
  readonly signal: AbortSignal;
}

/** An instance's name. The name is also part of a filter in a request. */
const instanceName = /^[a-z]([-a-z0-9]{0,61}[a-z0-9])?$/;

/**
 * Finds the running instance of a node in the cluster's network. The first label of a node's name is the name of the
 * instance. If there is not exactly one running instance, returns the reason as text.
 * @throws KhwError COMPUTE_FAILED
 */
export async function findInstance(
  compute: Pick<Compute, "instancesNamed">,
  node: string,
  { place: { project, network }, signal }: FindInstanceOptions,
): Promise<NodeInstance | string> {
  const [name = ""] = node.split(".");
  if (!instanceName.test(name)) return `${show(node)} cannot be the name of an instance`;
  const all = await compute.instancesNamed(project, name, signal);
  const found = all.filter((one) => one.name === name && interfacesIn(one, networkPath(project, network)).length > 0);
  const [instance, ...others] = found;
  const where = `project ${project}, network ${network}`;
  if (instance === undefined) return `the Compute API has no instance ${name} (${where})`;
  if (others.length > 0) return `the Compute API has several instances ${name} (${where})`;
  if (instance.status !== "RUNNING") return `the state of the instance ${name} is ${instance.status}`;
  const zone = nameInLink(instance.zone);
  const interfaces = interfacesIn(instance, networkPath(project, network));
  return {
    name,
    id: instance.id,
    zone,
    dnsNames: new Set([name, `${name}.c.${project}.internal`, `${name}.${zone}.c.${project}.internal`]),
    addresses: new Set(
      interfaces
        .flatMap(({ networkIP, accessConfigs }) => [networkIP, ...accessConfigs.map(({ natIP }) => natIP)])
        .filter((address) => address !== ""),
    ),
  };
}

function interfacesIn({ networkInterfaces }: Instance, path: string): Instance["networkInterfaces"] {
  return networkInterfaces.filter(({ network }) => pathOf(network) === path);
}
