import { pathOf } from "./references.ts";
import type { Firewall, Instance, Traffic } from "./resources.ts";
import type { Store } from "./store.ts";

/**
 * The source ranges of Google's health checkers for target pools (Google, "Health checks overview": legacy health
 * checks).
 */
const checkerRanges = ["35.191.0.0/16", "209.85.152.0/22", "209.85.204.0/22"] as const;

/** Whether the network's rules let health checkers from all ranges reach a TCP port on an instance. */
export function allowsHealthChecks(store: Store, instance: Instance, port: number): boolean {
  return checkerRanges.every((range) => allows(rulesFor(store, instance), range, port));
}

/**
 * Returns the ingress rules for an instance, sorted by priority, with deny rules before allow rules. The first matching
 * rule decides.
 */
function rulesFor(store: Store, { networkInterfaces, tags }: Instance): readonly Firewall[] {
  const networks = new Set(networkInterfaces.map(({ network }) => pathOf(network)));
  const isAimedAt = ({ targetTags }: Firewall) =>
    targetTags === undefined || targetTags.some((tag) => tags?.items?.includes(tag));
  return store
    .all("firewalls")
    .map(([, rule]) => rule)
    .filter((rule) => rule.direction === "INGRESS" && !rule.disabled)
    .filter((rule) => networks.has(pathOf(rule.network)) && isAimedAt(rule))
    .toSorted((a, b) => a.priority - b.priority || Number(a.denied === undefined) - Number(b.denied === undefined));
}

/** Networks in Google Cloud have an implied last rule that denies all ingress. */
function allows(rules: readonly Firewall[], source: string, port: number): boolean {
  const matching = rules.find(
    ({ sourceRanges = [], allowed, denied }) =>
      sourceRanges.some((range) => contains(range, source)) &&
      (allowed ?? denied ?? []).some((traffic) => isTcpTo(traffic, port)),
  );
  return matching?.allowed !== undefined;
}

function isTcpTo({ IPProtocol, ports }: Traffic, port: number): boolean {
  if (!["tcp", "6", "all"].includes(IPProtocol.toLowerCase())) return false;
  return ports === undefined || ports.some((range) => isInRange(port, range));
}

function isInRange(port: number, range: string): boolean {
  const [first = 0, last = first] = range.split("-").map(Number);
  return first <= port && port <= last;
}

/** Whether an IPv4 range lies completely inside another. */
function contains(outer: string, inner: string): boolean {
  const [a, b] = [parseRange(outer), parseRange(inner)];
  const size = 2 ** (32 - a.bits);
  return a.bits <= b.bits && Math.floor(a.first / size) === Math.floor(b.first / size);
}

function parseRange(range: string): { readonly first: number; readonly bits: number } {
  const [address = "", bits = "32"] = range.split("/");
  const first = address.split(".").reduce((sum, octet) => sum * 256 + Number(octet), 0);
  return { first, bits: Number(bits) };
}
