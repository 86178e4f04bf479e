/** Defines the addresses, names and folders of a testbed. The names and folders are derived from its id. */
import { homedir } from "node:os";
import { join } from "node:path";

/** The labs' network, which contains the address of every controller. */
export const subnet = { prefix: "10.240.0", length: 24 } as const;
/**
 * The bridge's address. It is the machines' gateway, and the address of the workstation and of the testbed's servers.
 */
export const gateway = "10.240.0.1";
/** Compute Engine's metadata server. */
export const metadataAddress = "169.254.169.254";
/** The load balancer's static address, which is in a block reserved for documentation (RFC 5737). */
export const publicAddress = "203.0.113.10";
/** The Compute Engine project, region and zone that the testbed simulates. */
export const project = { id: "khw-testbed", number: "1234", region: "us-west1", zone: "us-west1-c" } as const;
/** The ports of the servers, which listen on the gateway's address. */
export const ports = { mirror: 8080, tlsMirror: 8443, packages: 8081, compute: 8090 } as const;

/** The name and addresses of a machine. */
export interface Place {
  /** The instance's name: `controller-0`, `controller-1` and so on. */
  readonly name: string;
  /** The address in the labs' network. */
  readonly address: string;
  /** The external address. Packets to this address reach the machine, as on Compute Engine. */
  readonly externalAddress: string;
  /** The zone, if the machine is not in the project's default zone. */
  readonly zone?: string;
  /** The address range of the pods on a worker. Controllers have no pods. */
  readonly podCidr?: string;
}

/**
 * Returns the names and addresses of the first `count` controllers. As in the labs, controller-N has the address
 * 10.240.0.1N. `zones` contains the zones of machines that are not in the default zone.
 */
export function places(count: number, zones: Readonly<Record<string, string>> = {}): readonly Place[] {
  return Array.from({ length: count }, (_, index) => {
    const name = `controller-${index}`;
    const zone = zones[name];
    return {
      name,
      address: `${subnet.prefix}.${10 + index}`,
      externalAddress: `203.0.113.${20 + index}`,
      ...(zone !== undefined && { zone }),
    };
  });
}

/**
 * Returns the names and addresses of the first `count` workers. As in the labs, worker-N has the address 10.240.0.2N,
 * and its pods have addresses in 10.200.N.0/24.
 */
export function workerPlaces(count: number): readonly Place[] {
  return Array.from({ length: count }, (_, index) => ({
    name: `worker-${index}`,
    address: `${subnet.prefix}.${20 + index}`,
    externalAddress: `203.0.113.${40 + index}`,
    podCidr: `10.200.${index}.0/24`,
  }));
}

/** The folder that contains the state folders of all testbeds on this host. */
export const stateRoot = "/run/khw-testbed";

/** Returns a testbed's state folder, which has mode 0700. */
export function stateFolder(id: string): string {
  return join(stateRoot, id);
}

/** Returns the folder with the release mirror's certificate and the CA that issued it. */
export function mirrorIdentityFolder(id: string): string {
  return join(stateFolder(id), "mirror-identity");
}

/**
 * Returns a machine's folder in the state folder. It contains the mounted root, the console log and the supervisor's
 * process id.
 */
export function nodeFolder(id: string, name: string): string {
  return join(stateFolder(id), "nodes", name);
}

/**
 * Returns the folder that contains a testbed's disks. It is on the cache's file system, because the upper layer of an
 * overlay must not be an overlay itself.
 */
export function diskFolder(id: string): string {
  return join(cacheFolder(), "disks", id);
}

/** Returns the control group of a testbed, or of one of its machines. */
export function groupOf(id: string, name?: string): string {
  return name === undefined ? `khw-testbed-${id}` : `khw-testbed-${id}/${name}`;
}

/** Returns the network namespace of a testbed's bridge, or of a machine. */
export function namespaceOf(id: string, name?: string): string {
  return name === undefined ? `khw-${id}` : `khw-${id}-${name}`;
}

/** Returns a network namespace's path for `nsenter --net=` and `systemd-nspawn --network-namespace-path=`. */
export function namespacePath(namespace: string): string {
  return join("/run/netns", namespace);
}

/**
 * Returns the folder for files that take a long time to build. It is `$KHW_CACHE`, or `khw` in the user's cache folder.
 */
export function cacheFolder(): string {
  const { KHW_CACHE, XDG_CACHE_HOME } = process.env;
  return KHW_CACHE || join(XDG_CACHE_HOME || join(homedir(), ".cache"), "khw");
}
