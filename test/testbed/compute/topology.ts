import { allowsHealthChecks } from "./firewall.ts";
import { linkTo, pathOf } from "./references.ts";
import type { HttpHealthCheck } from "./resources.ts";
import type { Store } from "./store.ts";

/** An address and port on which a forwarding rule accepts connections. */
export interface Frontend {
  readonly address: string;
  readonly port: number;
  /** The target pool's path. */
  readonly pool: string;
}

/** An instance in a pool that a forwarding rule uses. */
export interface Backend {
  /** The target pool's path. */
  readonly pool: string;
  /** The instance's path. */
  readonly instance: string;
  /** The instance's internal address; absent if the instance does not exist. */
  readonly address?: string;
  /**
   * The pool's health check. A pool without a health check considers all its instances healthy (Google, TargetPool).
   */
  readonly check?: HttpHealthCheck;
}

/**
 * The maximum number of ports per rule on which the data plane listens. There is a maximum because each port needs a
 * socket.
 */
const mostPorts = 100;

/** Returns the addresses and ports on which the data plane must listen. */
export function frontendsOf(store: Store): readonly Frontend[] {
  return store.all("forwardingRules").flatMap(([, { IPAddress, portRange, target }]) => {
    const [first = 0, last = first] = portRange.split("-").map(Number);
    const length = Math.min(last - first + 1, mostPorts);
    return Array.from({ length }, (_, index) => ({ address: IPAddress, port: first + index, pool: pathOf(target) }));
  });
}

/**
 * Returns the instances that the data plane probes and forwards connections to. If there is no forwarding rule, the
 * list is empty.
 */
export function backendsOf(store: Store): readonly Backend[] {
  const pools = new Set(store.all("forwardingRules").map(([, { target }]) => pathOf(target)));
  return [...pools].flatMap((pool) => {
    const { instances = [], healthChecks: [link] = [] } = store.find("targetPools", pool) ?? {};
    const check = link === undefined ? undefined : store.find("httpHealthChecks", pathOf(link));
    return instances.map((instanceLink) => {
      const instance = pathOf(instanceLink);
      const address = store.find("instances", instance)?.networkInterfaces[0]?.networkIP;
      return { pool, instance, ...(address !== undefined && { address }), ...(check && { check }) };
    });
  });
}

/** Returns the addresses of the forwarding rules that use a pool. */
export function addressesOf(store: Store, pool: string): readonly string[] {
  const rules = store.all("forwardingRules").map(([, rule]) => rule);
  return [...new Set(rules.filter(({ target }) => target === linkTo(pool)).map(({ IPAddress }) => IPAddress))];
}

/** Returns why probes cannot reach a port on an instance, or undefined if they can. */
export function obstacleTo(store: Store, instancePath: string, port: number): string | undefined {
  const instance = store.find("instances", instancePath);
  if (!instance) return "there is no such instance";
  if (instance.status !== "RUNNING") return `the instance is ${instance.status}`;
  return allowsHealthChecks(store, instance, port) ? undefined : "no firewall rule lets the health checkers in";
}
