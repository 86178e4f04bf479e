import { KhwError } from "../../proto/errors.ts";
import type { KubernetesApi } from "../../proto/kubernetes-api.ts";
import { fieldOf } from "../pki/check/yaml.ts";
import { findContents } from "./contents.ts";
import {
  groupOf,
  isDefinition,
  isNamespace,
  keyOf,
  type Manifest,
  type ObjectName,
  originOf,
  uidOf,
} from "./object.ts";
import { refusalOf } from "./refusal.ts";
import { type Discovery, pathOf, type Resource, versionsOf } from "./resources.ts";

/** An object that khw has applied, and that is no longer in the folder. */
export interface Leaving {
  readonly name: ObjectName;
  readonly resource: Resource;
  readonly uid: string;
  readonly live: unknown;
  /** Whether khw deletes the object, keeps it for a reason, or only forgets it. */
  readonly action: "delete" | "keep" | "forget";
  /** The reason why the object stays. */
  readonly reason?: string;
  /** The action that a person can take about an object that stays. */
  readonly remedy?: string;
}

export interface PruneOptions {
  readonly discover: Discovery;
  readonly manifests: readonly Manifest[];
  /** The identifiers of the folder's objects. Some objects can be read in two API groups. */
  readonly present: ReadonlySet<string>;
  /** The objects that may be deleted with their contents: "Namespace/a". */
  readonly allowed: ReadonlySet<string>;
  readonly signal: AbortSignal;
}

/** Namespaces that a cluster needs. */
const systemNamespaces: ReadonlySet<string> = new Set(["default", "kube-system", "kube-public", "kube-node-lease"]);

/** Decides about the recorded objects that are no longer in the folder. An object that is gone is left out. */
export async function reviewLeaving(
  api: KubernetesApi,
  recorded: readonly ObjectName[],
  options: PruneOptions,
): Promise<Leaving[]> {
  const kept = new Set(options.manifests.map(keyOf));
  const names = recorded.filter((name) => !kept.has(keyOf(name)));
  const found = (await Promise.all(names.map(async (name) => find(api, name, options)))).filter(
    (one) => one !== undefined,
  );
  const except = new Set(found.filter(({ action }) => action === "delete").map(({ uid }) => uid));
  return Promise.all(found.map(async (one) => withContents(api, one, { ...options, except })));
}

async function find(api: KubernetesApi, name: ObjectName, options: PruneOptions): Promise<Leaving | undefined> {
  const { signal, present } = options;
  const resource = await findResource(api, name, options);
  if (resource === undefined) return undefined;
  const answer = await api("GET", pathOf(resource, name), { signal });
  if (answer.status === 404) return undefined;
  const live = answer.body;
  const uid = uidOf(live);
  if (answer.status !== 200 || uid === undefined) throw refusalOf(name, answer);
  if (present.has(uid)) return undefined;
  const base = { name, resource, uid, live };
  const origin = originOf(live);
  if (origin === "adopted") return { ...base, action: "forget", reason: "it existed before khw applied it" };
  if (origin === undefined) return { ...base, action: "forget", reason: "khw's label is no longer on it" };
  if (fieldOf(fieldOf(live, "metadata"), "deletionTimestamp") !== undefined)
    return { ...base, action: "keep", reason: "it is being deleted", remedy: "wait until its finalizers are done" };
  return { ...base, action: "delete" };
}

/** Finds the kind in the recorded version of its group, or in another version if that version no longer exists. */
async function findResource(
  api: KubernetesApi,
  { apiVersion, kind }: ObjectName,
  { discover, signal }: PruneOptions,
): Promise<Resource | undefined> {
  const recorded = (await discover(apiVersion)).find((resource) => resource.kind === kind);
  if (recorded !== undefined) return recorded;
  for (const version of await versionsOf(api, groupOf({ apiVersion }), signal)) {
    const found = (await discover(version)).find((resource) => resource.kind === kind);
    if (found !== undefined) return found;
  }
  return undefined;
}

async function withContents(
  api: KubernetesApi,
  one: Leaving,
  options: PruneOptions & { readonly except: ReadonlySet<string> },
): Promise<Leaving> {
  if (one.action !== "delete") return one;
  const { name } = one;
  const keep = (reason: string, remedy: string): Leaving => ({ ...one, action: "keep", reason, remedy });
  if (isNamespace(name) && systemNamespaces.has(name.name))
    return { ...one, action: "forget", reason: "the cluster needs it" };
  const needed = neededBy(one, options.manifests);
  if (needed !== undefined)
    return keep(`the object at ${needed} is part of it`, "remove that object from the folder too");
  if (isAllowed(name, options.allowed)) return one;
  const contents = await findContents(api, one, options);
  return contents === undefined ? one : keep(contents, keptRemedy(name));
}

/** Returns the command that deletes an object with its contents. */
export function keptRemedy({ kind, name }: ObjectName): string {
  return `to delete it with its contents, run khw-client bootstrap --allow-prune ${kind}/${name}`;
}

/** Returns the place of an object of the folder that would be deleted together with this object. */
function neededBy({ name, live }: Leaving, manifests: readonly Manifest[]): string | undefined {
  if (isNamespace(name)) return manifests.find(({ namespace }) => namespace === name.name)?.place;
  if (!isDefinition(name)) return undefined;
  const group = fieldOf(fieldOf(live, "spec"), "group");
  const kind = fieldOf(fieldOf(fieldOf(live, "spec"), "names"), "kind");
  return manifests.find((manifest) => manifest.kind === kind && groupOf(manifest) === group)?.place;
}

export function isAllowed({ kind, name }: ObjectName, allowed: ReadonlySet<string>): boolean {
  return allowed.has(`${kind}/${name}`);
}

/** Returns the values of --allow-prune. @throws KhwError INVALID_ARGUMENT */
export function parseAllowed(values: readonly string[]): ReadonlySet<string> {
  for (const value of values) {
    if (value === "all" || /^[A-Za-z0-9-]+\/[^/]+$/.test(value)) continue;
    throw new KhwError("INVALID_ARGUMENT", `--allow-prune: ${JSON.stringify(value)} is neither KIND/NAME nor all`, {
      hint: "use a value such as Namespace/team-a",
    });
  }
  return new Set(values);
}
