/** Where everything is: addresses, names and folders of a testbed, all of them derived from its id. */
import { homedir } from "node:os";
import { join } from "node:path";

/** The labs' network: every controller's address is in it. */
export const subnet = { prefix: "10.240.0", length: 24 } as const;
/** The bridge's address: gateway of the machines, address of the workstation and of the servers beside it. */
export const gateway = "10.240.0.1";
/** Compute Engine's metadata server. */
export const metadataAddress = "169.254.169.254";
/** The load balancer's static address (a block reserved for documentation: RFC 5737). */
export const publicAddress = "203.0.113.10";
/** The Compute Engine project, region and zone that the testbed plays. */
export const project = { id: "khw-testbed", number: "1234", region: "us-west1", zone: "us-west1-c" } as const;
/** Ports on the gateway. */
export const ports = { mirror: 8080, packages: 8081, compute: 8090 } as const;

/** One machine's place in the network. */
export interface Place {
  /** The instance's name, `controller-0` and on. */
  readonly name: string;
  /** Its address in the labs' network. */
  readonly address: string;
  /** Its address outside; packets to it reach the machine as they do on Compute Engine. */
  readonly externalAddress: string;
}

/** The places of the first `count` controllers, as the labs have them: controller-N at 10.240.0.1N. */
export function places(count: number): readonly Place[] {
  return Array.from({ length: count }, (_, index) => ({
    name: `controller-${index}`,
    address: `${subnet.prefix}.${10 + index}`,
    externalAddress: `203.0.113.${20 + index}`,
  }));
}

/** The folder of all testbeds' state on this machine. */
export const stateRoot = "/run/khw-testbed";

/** A testbed's state folder, mode 0700. */
export function stateFolder(id: string): string {
  return join(stateRoot, id);
}

/** A machine's own folder in the state folder: its mounted root, its console's log, its supervisor's process id. */
export function nodeFolder(id: string, name: string): string {
  return join(stateFolder(id), "nodes", name);
}

/** The folder of a testbed's disks: on the cache's file system, since an overlay's upper layer cannot be an overlay. */
export function diskFolder(id: string): string {
  return join(cacheFolder(), "disks", id);
}

/** The control group of a testbed, or of one machine of it. */
export function groupOf(id: string, name?: string): string {
  return name === undefined ? `khw-testbed-${id}` : `khw-testbed-${id}/${name}`;
}

/** The network namespace of a testbed's bridge, or of one machine. */
export function namespaceOf(id: string, name?: string): string {
  return name === undefined ? `khw-${id}` : `khw-${id}-${name}`;
}

/** A network namespace's path, as `nsenter --net=` and `systemd-nspawn --network-namespace-path=` want it. */
export function namespacePath(namespace: string): string {
  return join("/run/netns", namespace);
}

/** The folder of what is slow to make: `$KHW_CACHE`, or `khw` in the user's cache folder. */
export function cacheFolder(): string {
  const { KHW_CACHE, XDG_CACHE_HOME } = process.env;
  return KHW_CACHE || join(XDG_CACHE_HOME || join(homedir(), ".cache"), "khw");
}
