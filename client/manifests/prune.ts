import type { KubernetesApi } from "../../proto/kubernetes-api.ts";
import { isAllowed, keptRemedy } from "./allow-prune.ts";
import { findContents } from "./contents.ts";
import { findLeaving, type FindOptions, type Leaving } from "./leaving.ts";
import { defines } from "./definitions.ts";
import { describeObject, isDefinition, isNamespace, keyOf, type Manifest, type ObjectName } from "./object.ts";

export interface PruneOptions extends FindOptions {
  readonly manifests: readonly Manifest[];
  /** The objects that may be deleted together with their contents, for example "Namespace/a". */
  readonly allowed: ReadonlySet<string>;
}

/** The namespaces that every cluster needs. */
const systemNamespaces: ReadonlySet<string> = new Set(["default", "kube-system", "kube-public", "kube-node-lease"]);

/**
 * Decides the action for each recorded object that is no longer in the folder. Leaves out objects that no longer exist.
 * Decides about an object's contents before the object itself.
 */
export async function reviewLeaving(
  api: KubernetesApi,
  recorded: readonly ObjectName[],
  options: PruneOptions,
): Promise<Leaving[]> {
  const kept = new Set(options.manifests.map(keyOf));
  const names = recorded.filter((name) => !kept.has(keyOf(name)));
  const found = (await Promise.all(names.map(async (name) => findLeaving(api, name, options)))).filter(
    (one) => one !== undefined,
  );
  const decided: Leaving[] = [];
  for (const rank of [0, 1, 2]) {
    const some = found.filter(({ name }) => rankOf(name) === rank);
    const before = [...decided];
    decided.push(...(await Promise.all(some.map(async (one) => decide(api, one, { ...options, before })))));
  }
  return decided.toSorted((one, other) => names.indexOf(one.name) - names.indexOf(other.name));
}

/** Returns an object's place in the order of deletion: ordinary objects, then definitions, then namespaces. */
export function rankOf(name: ObjectName): number {
  return isNamespace(name) ? 2 : isDefinition(name) ? 1 : 0;
}

async function decide(
  api: KubernetesApi,
  one: Leaving,
  options: PruneOptions & { readonly before: readonly Leaving[] },
): Promise<Leaving> {
  if (one.action !== "delete") return one;
  const { name } = one;
  const keep = (reason: string, remedy: string): Leaving => ({ ...one, action: "keep", reason, remedy });
  if (isNamespace(name) && systemNamespaces.has(name.name))
    return { ...one, action: "forget", reason: "the cluster needs it" };
  const needed = options.manifests.find((manifest) => contains(one, manifest))?.place;
  if (needed !== undefined)
    return keep(`the object at ${needed} is part of it`, "remove that object from the folder too");
  const staying = options.before.filter((other) => other.action === "keep" && contains(one, other.name));
  const except = new Set(options.before.filter(({ action }) => action === "delete").map(({ uid }) => uid));
  const listed = isAllowed(one, options.allowed) ? undefined : await findContents(api, one, { ...options, except });
  if (listed === undefined && staying.length === 0) return one;
  const reason = listed ?? `it contains ${staying.map((other) => describeObject(other.name)).join(", ")}`;
  return keep(reason, staying.find(({ pending }) => pending)?.remedy ?? keptRemedy(one, staying));
}

/** Whether the inner object is deleted when Kubernetes deletes the namespace or definition. */
export function contains({ name, live }: Pick<Leaving, "name" | "live">, inner: ObjectName): boolean {
  if (isNamespace(name)) return inner.namespace === name.name;
  return isDefinition(name) && defines(live, inner);
}
