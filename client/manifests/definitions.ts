import type { KubernetesApi } from "../../proto/kubernetes-api.ts";
import { fieldOf, listOf, textAt } from "../pki/check/yaml.ts";
import { listObjects } from "../service-accounts/lists.ts";
import { groupOf, isDefinition, type Manifest, type ObjectName } from "./object.ts";
import type { Resource } from "./resources.ts";

const path = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions";
/** The number of definitions per page; it is small because some schemas have hundreds of kilobytes. */
const pageSize = 5;

/** Returns the resources that the folder's CustomResourceDefinitions define. */
export function definedResources(manifests: readonly Manifest[]): Resource[] {
  return manifests.filter(isDefinition).flatMap(({ object }) => resourcesOf(object));
}

/**
 * Returns the resources that a CustomResourceDefinition defines: one for each served version, or one for every version
 * if `unserved` is set.
 */
export function resourcesOf(definition: unknown, { unserved = false } = {}): Resource[] {
  const spec = fieldOf(definition, "spec");
  const names = fieldOf(spec, "names");
  const [group, kind, plural] = [textAt(spec, "group"), textAt(names, "kind"), textAt(names, "plural")];
  if (group === undefined || kind === undefined || plural === undefined) return [];
  const single = textAt(spec, "version");
  const versions = [
    ...listOf(spec, "versions").filter((version) => unserved || fieldOf(version, "served") !== false),
    ...(single === undefined ? [] : [{ name: single }]),
  ].flatMap((version) => textAt(version, "name") ?? []);
  const namespaced = textAt(spec, "scope") !== "Cluster";
  return versions.map((version) => ({ apiVersion: `${group}/${version}`, kind, plural, namespaced, verbs: [] }));
}

/** Finds the cluster's CustomResourceDefinition that defines the object's kind. */
export async function findDefinition(api: KubernetesApi, name: ObjectName, signal: AbortSignal): Promise<unknown> {
  for await (const definition of listObjects(api, path, { signal, pageSize })) {
    if (defines(definition, name)) return definition;
  }
  return undefined;
}

/** Whether a CustomResourceDefinition defines the object's kind. */
export function defines(definition: unknown, name: Pick<ObjectName, "apiVersion" | "kind">): boolean {
  const spec = fieldOf(definition, "spec");
  return fieldOf(spec, "group") === groupOf(name) && fieldOf(fieldOf(spec, "names"), "kind") === name.kind;
}
