import { show } from "../../proto/validate.ts";
import { workerSubject } from "../pki/subjects.ts";
import type { NodeInstance } from "./instance.ts";
import type { NodeObject } from "./node.ts";
import type { RequestContents } from "./pkcs10.ts";
import type { ServingRequest } from "./requests.ts";

const userPrefix = "system:node:";
/** The usages of a serving certificate. A kubelet leaves out "key encipherment" if its key is not RSA. */
const usages = ["digital signature", "server auth"];
const optionalUsage = "key encipherment";

/** A node's name in Kubernetes (RFC 1123). The name is also part of a request's path. */
const nodeName = /^(?=.{1,253}$)[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?(\.[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?)*$/;

export function isNodeName(name: string): boolean {
  return nodeName.test(name);
}

/** Returns the node that sent the request; undefined if the requestor is not a kubelet. */
export function requestingNode({ username, groups }: ServingRequest): string | undefined {
  if (!username.startsWith(userPrefix) || !groups.includes("system:nodes")) return undefined;
  const name = username.slice(userPrefix.length);
  return isNodeName(name) ? name : undefined;
}

/** Names and addresses that belong to the control plane. A kubelet never gets a certificate for them. */
export interface Reserved {
  readonly nodes: ReadonlySet<string>;
  readonly names: ReadonlySet<string>;
}

/** Returns the reasons why the request itself is not a valid request for the node's kubelet serving certificate. */
export function requestProblems(
  { usages: requested }: ServingRequest,
  contents: RequestContents,
  { node, reserved }: { readonly node: string; readonly reserved: Reserved },
): string[] {
  const { subject, dnsNames, addresses, problems } = contents;
  const wanted = Object.entries(workerSubject(node));
  const isWanted = ([type, value]: readonly [string, string]): boolean =>
    wanted.some((one) => one[0] === type && one[1] === value);
  const rightSubject =
    subject.length === wanted.length && new Set(subject.map(([type]) => type)).size === wanted.length;
  const needed = requested.filter((usage) => usage !== optionalUsage);
  const rightUsages = needed.length === usages.length && usages.every((usage) => needed.includes(usage));
  const taken = [...dnsNames, ...addresses].filter((name) => reserved.names.has(name));
  const [instanceName = ""] = node.split(".");
  return [
    ...problems,
    ...(rightSubject && subject.every(isWanted)
      ? []
      : [`its subject is not exactly CN=${userPrefix}${node}, O=system:nodes`]),
    ...(rightUsages ? [] : [`its usages are ${show(requested.join(", "))} instead of ${show(usages.join(", "))}`]),
    ...(reserved.nodes.has(instanceName) ? [`${instanceName} is a controller, which has no kubelet`] : []),
    ...taken.map((name) => `${show(name)} belongs to the control plane`),
  ];
}

/** Returns a problem for each requested name that the Node object does not have. */
export function nodeProblems({ dnsNames, addresses }: RequestContents, node: NodeObject): string[] {
  return [
    ...dnsNames.filter((name) => !node.dnsNames.has(name)),
    ...addresses.filter((address) => !node.addresses.has(address)),
  ].map((name) => `${show(name)} is not an address of the Node object`);
}

export interface Placed {
  readonly node: string;
  readonly providerId: string;
  readonly project: string;
}

/** Returns a problem for each requested name that the instance does not have. A kubelet cannot change an instance. */
export function instanceProblems(
  { dnsNames, addresses }: RequestContents,
  instance: NodeInstance,
  { node, providerId, project }: Placed,
): string[] {
  const { name, zone } = instance;
  const expected = `gce://${project}/${zone}/${name}`;
  return [
    ...(instance.dnsNames.has(node) ? [] : [`${show(node)} is not a name of the instance ${name}`]),
    ...(providerId === "" || providerId === expected
      ? []
      : [`the Node's providerID is ${show(providerId)} instead of ${expected}`]),
    ...[
      ...dnsNames.filter((one) => !instance.dnsNames.has(one)),
      ...addresses.filter((one) => !instance.addresses.has(one)),
    ].map((one) => `${show(one)} is not a name or address of the instance ${name}`),
  ];
}
