import type { KubernetesApi } from "../../proto/kubernetes-api.ts";
import { field, listField, refused, textField } from "./objects.ts";

/** The ready endpoints of a service. */
export interface Endpoints {
  /** The subsets of the Endpoints object. All addresses of a subset serve all ports of the subset. */
  readonly subsets: readonly unknown[];
  /** The reason why no endpoint is ready; empty if an endpoint is ready. */
  readonly reason: string;
}

/**
 * Reads the endpoints of the service that a webhook or an APIService names.
 * @throws KhwError VERIFY_FAILED if the API server refuses the request
 */
export async function readEndpoints(api: KubernetesApi, service: unknown, signal: AbortSignal): Promise<Endpoints> {
  const { status, body, path } = await readNamespaced(api, { resource: "endpoints", service }, signal);
  if (status === 404) return { subsets: [], reason: `the service ${nameOf(service)} does not exist` };
  if (status !== 200) throw refused(`GET ${path}`, status, body);
  const subsets = listField(body, "subsets").filter((subset) => listField(subset, "addresses").length > 0);
  return { subsets, reason: subsets.length > 0 ? "" : `the service ${nameOf(service)} has no ready endpoint` };
}

/**
 * Returns the name of the service's port with the given number; undefined if the service does not have this port.
 * @throws KhwError VERIFY_FAILED if the API server refuses the request
 */
export async function readPortName(
  api: KubernetesApi,
  { service, port }: { readonly service: unknown; readonly port: number },
  signal: AbortSignal,
): Promise<string | undefined> {
  const { status, body, path } = await readNamespaced(api, { resource: "services", service }, signal);
  if (status === 404) return undefined;
  if (status !== 200) throw refused(`GET ${path}`, status, body);
  const found = listField(field(body, "spec"), "ports").find((one) => field(one, "port") === port);
  return found === undefined ? undefined : textField(found, "name");
}

/** Returns the service's name as NAMESPACE/NAME. */
export function nameOf(service: unknown): string {
  return `${textField(service, "namespace")}/${textField(service, "name")}`;
}

async function readNamespaced(
  api: KubernetesApi,
  { resource, service }: { readonly resource: string; readonly service: unknown },
  signal: AbortSignal,
) {
  const [namespace, name] = [textField(service, "namespace"), textField(service, "name")].map(encodeURIComponent);
  const path = `/api/v1/namespaces/${namespace}/${resource}/${name}`;
  return { path, ...(await api("GET", path, { signal })) };
}
