import type { KubernetesApi } from "../../proto/kubernetes-api.ts";
import { fieldOf, listOf, textAt } from "../pki/check/yaml.ts";
import { unexpected } from "../service-accounts/lists.ts";

/** The fields of a Node object that a serving certificate must match. The kubelet itself writes these fields. */
export interface NodeObject {
  readonly dnsNames: ReadonlySet<string>;
  readonly addresses: ReadonlySet<string>;
  /** For example gce://PROJECT/ZONE/NAME; empty without a cloud provider. */
  readonly providerId: string;
}

/** The types of a Node's addresses. */
const dnsTypes: readonly unknown[] = ["Hostname", "InternalDNS", "ExternalDNS"];
const addressTypes: readonly unknown[] = ["InternalIP", "ExternalIP"];

/**
 * Returns undefined if there is no such Node. The caller must have validated the name.
 * @throws KhwError VERIFY_FAILED for an unexpected status
 */
export async function readNode(api: KubernetesApi, name: string, signal: AbortSignal): Promise<NodeObject | undefined> {
  const path = `/api/v1/nodes/${name}`;
  const { status, body } = await api("GET", path, { signal });
  if (status === 404) return undefined;
  if (status !== 200) throw unexpected(`GET ${path}`, status);
  const all = listOf(fieldOf(body, "status"), "addresses");
  const ofTypes = (types: readonly unknown[]): ReadonlySet<string> =>
    new Set(all.filter((one) => types.includes(fieldOf(one, "type"))).flatMap((one) => textAt(one, "address") ?? []));
  return {
    dnsNames: ofTypes(dnsTypes),
    addresses: ofTypes(addressTypes),
    providerId: textAt(fieldOf(body, "spec"), "providerID") ?? "",
  };
}
