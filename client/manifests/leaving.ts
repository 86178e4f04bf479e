import type { KubernetesApi } from "../../proto/kubernetes-api.ts";
import { fieldOf } from "../pki/check/yaml.ts";
import { findDefinition, resourcesOf } from "./definitions.ts";
import { groupOf, type ObjectName, originOf, uidOf } from "./object.ts";
import { refusalOf } from "./refusal.ts";
import { type Discovery, pathOf, type Resource, versionsOf } from "./resources.ts";

/** An object that khw applied earlier, but that is no longer in the folder. */
export interface Leaving {
  readonly name: ObjectName;
  readonly resource: Resource;
  readonly uid: string;
  readonly live: unknown;
  /** Whether khw deletes the object, keeps the object, or only removes the object from the record. */
  readonly action: "delete" | "keep" | "forget";
  /** The reason why khw does not delete the object. */
  readonly reason?: string;
  /** The action that the user can take if khw keeps the object. */
  readonly remedy?: string;
  /** Whether khw keeps the object only temporarily. In that case, --allow-prune has no effect. */
  readonly pending?: true;
}

export interface FindOptions {
  readonly discover: Discovery;
  /** The UIDs of the folder's objects, because the same object may be readable in two API groups. */
  readonly present: ReadonlySet<string>;
  readonly signal: AbortSignal;
}

/**
 * Reads a recorded object. Returns undefined if the object no longer exists, or is still in the folder under another
 * name.
 */
export async function findLeaving(
  api: KubernetesApi,
  name: ObjectName,
  options: FindOptions,
): Promise<Leaving | undefined> {
  const { signal, present } = options;
  const resource = await findResource(api, name, options);
  if (resource === undefined) return keepIfDefined(api, name, signal);
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
  if (fieldOf(fieldOf(live, "metadata"), "deletionTimestamp") === undefined) return { ...base, action: "delete" };
  const remedy = "wait until its finalizers are done";
  return { ...base, action: "keep", pending: true, reason: "it is being deleted", remedy };
}

/**
 * Keeps an object whose kind is defined but not served at the moment, because the object still exists. Returns
 * undefined if nothing defines the kind, because Kubernetes has then deleted the object.
 */
async function keepIfDefined(api: KubernetesApi, name: ObjectName, signal: AbortSignal): Promise<Leaving | undefined> {
  const definition = await findDefinition(api, name, signal);
  if (definition === undefined) return undefined;
  const [resource] = resourcesOf(definition, { unserved: true });
  if (resource === undefined) return undefined;
  const reason = "the API server does not serve its kind at the moment";
  const remedy = `run kubectl get crd ${resource.plural}.${groupOf(resource)} -o yaml to see why, then run the command again`;
  return { name, resource, uid: "", live: undefined, action: "keep", pending: true, reason, remedy };
}

/**
 * Finds the object's kind in the recorded API version, or in another version if the recorded version lacks the kind.
 */
async function findResource(
  api: KubernetesApi,
  { apiVersion, kind }: ObjectName,
  { discover, signal }: FindOptions,
): Promise<Resource | undefined> {
  const recorded = (await discover(apiVersion)).find((resource) => resource.kind === kind);
  if (recorded !== undefined) return recorded;
  for (const version of await versionsOf(api, groupOf({ apiVersion }), signal)) {
    const found = (await discover(version)).find((resource) => resource.kind === kind);
    if (found !== undefined) return found;
  }
  return undefined;
}
