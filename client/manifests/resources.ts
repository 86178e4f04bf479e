import type { KubernetesAnswer, KubernetesApi } from "../../proto/kubernetes-api.ts";
import { fieldOf, listOf, textAt } from "../pki/check/yaml.ts";
import { unexpected } from "../service-accounts/lists.ts";
import { defaultNamespace, groupOf, type ObjectName } from "./object.ts";

/** A kind of object that an API server serves. */
export interface Resource {
  readonly apiVersion: string;
  readonly kind: string;
  /** The resource's name in API paths, for example "deployments". */
  readonly plural: string;
  readonly namespaced: boolean;
  readonly verbs: readonly string[];
}

/** Finds the resources of an API version, such as "apps/v1". Returns an empty list for an unknown version. */
export type Discovery = (apiVersion: string) => Promise<readonly Resource[]>;

/** Returns a function that reads the resources of each API version at most once. */
export function discovery(api: KubernetesApi, signal: AbortSignal): Discovery {
  const known = new Map<string, Promise<readonly Resource[]>>();
  return (apiVersion) => {
    const found = known.get(apiVersion) ?? readResources(api, apiVersion, signal);
    known.set(apiVersion, found);
    return found;
  };
}

async function readResources(api: KubernetesApi, apiVersion: string, signal: AbortSignal): Promise<Resource[]> {
  const { status, body } = await api("GET", rootOf(apiVersion), { signal });
  return status === 404 ? [] : resourcesIn(apiVersion, { status, body });
}

/** Reads the resources of a version that the API server lists. For a listed version, the status 404 is an error. */
export async function listedResources(
  api: KubernetesApi,
  apiVersion: string,
  signal: AbortSignal,
): Promise<readonly Resource[]> {
  return resourcesIn(apiVersion, await api("GET", rootOf(apiVersion), { signal }));
}

function resourcesIn(apiVersion: string, { status, body }: KubernetesAnswer): Resource[] {
  if (status !== 200) throw unexpected(`GET ${rootOf(apiVersion)}`, status);
  return listOf(body, "resources").flatMap((entry) => {
    const [plural, kind] = [textAt(entry, "name"), textAt(entry, "kind")];
    if (plural === undefined || kind === undefined || plural.includes("/")) return [];
    const verbs = listOf(entry, "verbs").filter((verb) => typeof verb === "string");
    return [{ apiVersion, kind, plural, namespaced: fieldOf(entry, "namespaced") === true, verbs }];
  });
}

/**
 * Returns all versions of a group, starting with the preferred version; an empty list if no API server has the group.
 */
export async function versionsOf(api: KubernetesApi, group: string, signal: AbortSignal): Promise<string[]> {
  if (group === "") return ["v1"];
  const { status, body } = await api("GET", `/apis/${group}`, { signal });
  if (status === 404) return [];
  if (status !== 200) throw unexpected(`GET /apis/${group}`, status);
  return versionsIn(body);
}

/** Returns all versions of every group. A kind may exist only in a version other than the group's preferred version. */
export async function allVersions(api: KubernetesApi, signal: AbortSignal): Promise<string[]> {
  const { status, body } = await api("GET", "/apis", { signal });
  if (status !== 200) throw unexpected("GET /apis", status);
  return ["v1", ...listOf(body, "groups").flatMap(versionsIn)];
}

/** Returns the preferred version of a group, then all other versions. */
function versionsIn(group: unknown): string[] {
  const preferred = textAt(fieldOf(group, "preferredVersion"), "groupVersion");
  const versions = listOf(group, "versions").flatMap((version) => textAt(version, "groupVersion") ?? []);
  return [...new Set([...(preferred === undefined ? [] : [preferred]), ...versions])];
}

/** Returns the path of one object. */
export function pathOf({ apiVersion, plural, namespaced }: Resource, { namespace, name }: ObjectName): string {
  const folder = namespaced ? `/namespaces/${encodeURIComponent(namespace ?? defaultNamespace)}` : "";
  return `${rootOf(apiVersion)}${folder}/${plural}/${encodeURIComponent(name)}`;
}

/** Returns the path of all objects of this kind, in one namespace or in all namespaces. */
export function collectionOf({ apiVersion, plural }: Resource, namespace?: string): string {
  return `${rootOf(apiVersion)}${namespace === undefined ? "" : `/namespaces/${encodeURIComponent(namespace)}`}/${plural}`;
}

function rootOf(apiVersion: string): string {
  return groupOf({ apiVersion }) === "" ? `/api/${apiVersion}` : `/apis/${apiVersion}`;
}
