import { createHash } from "node:crypto";
import { isIPv4 } from "node:net";
import { invalid, notEmulated, notFound } from "./errors.ts";
import type { Place, World } from "./kind.ts";
import { parseReference, scopeOf } from "./references.ts";
import { textOf, type Fields } from "./resources.ts";

/**
 * Completes a forwarding rule. The rule forwards ports of a static address to a target pool. No other rule may use the
 * same ports.
 */
export function completeForwardingRule(fields: Fields, place: Place, world: World): Fields {
  if (fields.target === undefined) throw notEmulated("a forwarding rule without a target pool");
  // Google's reference: `ports` is for internal and backend-service load balancers, not for target pools.
  const ports = fields.ports ?? fields.allPorts;
  if (ports !== undefined) throw invalid("resource.ports", ports, "Use portRange with a target pool.");
  const IPAddress = staticAddressOf(fields.IPAddress, place, world);
  const portRange = completePortRange(fields.portRange);
  const isTaken = world.store
    .all("forwardingRules")
    .some(([path, rule]) => path !== place.path && rule.IPAddress === IPAddress && overlaps(rule.portRange, portRange));
  if (isTaken)
    throw invalid("resource.IPAddress", IPAddress, "Specified IP address is in-use and would result in a conflict.");
  return { ...fields, IPAddress, portRange };
}

/** Returns a fingerprint that changes whenever the resource changes. Its format is Google's: eight bytes in base64. */
export function fingerprintOf(resource: object): string {
  return createHash("sha256").update(JSON.stringify(resource)).digest().subarray(0, 8).toString("base64");
}

/** Returns the IP of a static address that is given as an IP, name, path or URL. The API always returns the IP. */
function staticAddressOf(given: unknown, { scope }: Place, { store, project }: World): string {
  if (given === undefined) throw notEmulated("a forwarding rule on an ephemeral address");
  const text = textOf(given);
  if (isIPv4(text)) {
    const isReserved = store.all("addresses").some(([path, held]) => scopeOf(path) === scope && held.address === text);
    if (!isReserved) throw invalid("resource.IPAddress", text, "It is not a static address of the region.");
    return text;
  }
  const isName = /^[a-z][-a-z0-9]*$/.test(text);
  const path = isName ? `${scope}/addresses/${text}` : parseReference(text, project, "resource.IPAddress");
  const address = store.find("addresses", path)?.address;
  if (address === undefined) throw notFound(path);
  return address;
}

function completePortRange(given: unknown): string {
  const [, first, last = first] = /^(\d{1,5})(?:-(\d{1,5}))?$/.exec(textOf(given ?? "1-65535")) ?? [];
  const isRange = Number(first) >= 1 && Number(first) <= Number(last) && Number(last) <= 65535;
  if (!isRange) throw invalid("resource.portRange", given, "Must be a port or a range of ports.");
  return `${first}-${last}`;
}

function overlaps(one: string, other: string): boolean {
  const [a = 0, b = 0] = one.split("-").map(Number);
  const [c = 0, d = 0] = other.split("-").map(Number);
  return a <= d && c <= b;
}
