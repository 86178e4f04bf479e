import { timestamp } from "./clock.ts";
import { linkTo, nameOf } from "./references.ts";
import type { Fields, Resource } from "./resources.ts";

/** The options for the project's initial resources. Labs 01 to 03 create the same resources. */
export interface InitialOptions {
  readonly project: string;
  readonly region: string;
  readonly zone: string;
  readonly instances: readonly InstanceOptions[];
  /** Whether the static address `kubernetes-the-hard-way` exists at the start. */
  readonly withAddress: boolean;
}

export interface InstanceOptions {
  readonly name: string;
  readonly internal: string;
  readonly external: string;
  /** By default, the instance is in the zone of the project. */
  readonly zone?: string;
}

const tutorial = "kubernetes-the-hard-way";

/** Returns the initial resources by path, without the fields that the emulator adds to every resource. */
export function initialResources(options: InitialOptions): Readonly<Record<string, Fields>> {
  const { project, region, zone, instances, withAddress } = options;
  const root = `projects/${project}`;
  const regionPath = `${root}/regions/${region}`;
  const zonePathOf = (instance?: InstanceOptions): string => `${root}/zones/${instance?.zone ?? zone}`;
  const zonePaths = [...new Set([zonePathOf(), ...instances.map(zonePathOf)])];
  const network = `${root}/global/networks/${tutorial}`;
  const subnetwork = `${regionPath}/subnetworks/kubernetes`;
  return {
    [regionPath]: { status: "UP", description: region, zones: zonePaths.map(linkTo), quotas: [] },
    ...Object.fromEntries(
      zonePaths.map((path) => [path, { status: "UP", description: nameOf(path), region: linkTo(regionPath) }]),
    ),
    [network]: {
      autoCreateSubnetworks: false,
      routingConfig: { routingMode: "REGIONAL" },
      subnetworks: [linkTo(subnetwork)],
    },
    [subnetwork]: { network: linkTo(network), ipCidrRange: "10.240.0.0/24", gatewayAddress: "10.240.0.1" },
    ...(withAddress && { [`${regionPath}/addresses/${tutorial}`]: {} }),
    ...Object.fromEntries(
      instances.map((instance) => [
        `${zonePathOf(instance)}/instances/${instance.name}`,
        instanceFields(instance, { network, subnetwork, zonePath: zonePathOf(instance) }),
      ]),
    ),
  };
}

/** Returns the project itself. Its path has no collection. */
export function projectResource(project: string): Resource & Fields {
  return {
    kind: "compute#project",
    id: "1234",
    name: project,
    selfLink: linkTo(`projects/${project}`),
    creationTimestamp: timestamp(),
    commonInstanceMetadata: { kind: "compute#metadata", fingerprint: "AAAAAAAAAAA=", items: [] },
    defaultNetworkTier: "PREMIUM",
    quotas: [],
  };
}

function instanceFields(
  { name, internal, external }: InstanceOptions,
  { network, subnetwork, zonePath }: Readonly<Record<"network" | "subnetwork" | "zonePath", string>>,
): Fields {
  const accessConfig = {
    kind: "compute#accessConfig",
    type: "ONE_TO_ONE_NAT",
    name: "external-nat",
    natIP: external,
    networkTier: "PREMIUM",
  };
  return {
    status: "RUNNING",
    zone: linkTo(zonePath),
    machineType: linkTo(`${zonePath}/machineTypes/e2-standard-2`),
    canIpForward: true,
    tags: { items: [name.replace(/-\d+$/, ""), nameOf(network)], fingerprint: "AAAAAAAAAAA=" },
    networkInterfaces: [
      {
        kind: "compute#networkInterface",
        name: "nic0",
        fingerprint: "AAAAAAAAAAA=",
        network: linkTo(network),
        subnetwork: linkTo(subnetwork),
        networkIP: internal,
        accessConfigs: [accessConfig],
      },
    ],
  };
}
