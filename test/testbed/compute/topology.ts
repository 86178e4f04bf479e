import { allowsHealthChecks } from "./firewall.ts";
import { linkTo, pathOf } from "./references.ts";
import type { HttpHealthCheck } from "./resources.ts";
import type { Store } from "./store.ts";

/** An address and port of a forwarding rule. */
export interface Frontend {
  readonly address: string;
  readonly port: number;
  /** The target pool's path. */
  readonly pool: string;
}

/** An instance of a pool that a forwarding rule uses. */
export interface Backend {
  /** The target pool's path. */
  readonly pool: string;
  /** The instance's path. */
  readonly instance: string;
  /** Its internal address; absent when there is no such instance. */
  readonly address?: string;
  /** How to probe it. A pool without a health check takes all its instances for healthy (Google, TargetPool). */
  readonly check?: HttpHealthCheck;
}

/** More ports than this a rule are not listened on: the data plane opens one socket each. */
const mostPorts = 100;

/** What the resources ask the data plane to listen on. */
export function frontendsOf(store: Store): readonly Frontend[] {
  return store.all("forwardingRules").flatMap(([, { IPAddress, portRange, target }]) => {
    const [first = 0, last = first] = portRange.split("-").map(Number);
    const length = Math.min(last - first + 1, mostPorts);
    return Array.from({ length }, (_, index) => ({ address: IPAddress, port: first + index, pool: pathOf(target) }));
  });
}

/** What the resources ask the data plane to probe and forward to. Without a forwarding rule, nothing. */
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

/** The addresses of the forwarding rules that use a pool. */
export function addressesOf(store: Store, pool: string): readonly string[] {
  const rules = store.all("forwardingRules").map(([, rule]) => rule);
  return [...new Set(rules.filter(({ target }) => target === linkTo(pool)).map(({ IPAddress }) => IPAddress))];
}

/** Why a probe of an instance's port would not arrive, or nothing. */
export function obstacleTo(store: Store, instancePath: string, port: number): string | undefined {
  const instance = store.find("instances", instancePath);
  if (!instance) return "there is no such instance";
  if (instance.status !== "RUNNING") return `the instance is ${instance.status}`;
  return allowsHealthChecks(store, instance, port) ? undefined : "no firewall rule lets the health checkers in";
}
