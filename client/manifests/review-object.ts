import type { KhwError } from "../../proto/errors.ts";
import type { KubernetesApi } from "../../proto/kubernetes-api.ts";
import { fieldOf } from "../pki/check/yaml.ts";
import { compareObjects, type FieldDifference } from "./differences.ts";
import { type Manifest, manifestsLabel, type Origin, originOf, uidOf } from "./object.ts";
import { conflictError, conflictsIn, refusalOf } from "./refusal.ts";
import { pathOf, type Resource } from "./resources.ts";

/** The result of comparing an object from the folder with the object in the cluster. */
export interface Reviewed {
  readonly manifest: Manifest;
  readonly path: string;
  /** The object to apply: the manifest's object with khw's label. */
  readonly body: unknown;
  readonly action: "none" | "create" | "change";
  /** The fields that would change; empty if the object would be created. */
  readonly fields: readonly FieldDifference[];
  /** The live object's UID; absent if the object does not exist yet. */
  readonly uid?: string | undefined;
  /**
   * The object to apply instead of `body` after the API server's answer shows that khw created the object. Until then,
   * the label says "adopted", because another client may create the object first.
   */
  readonly createdBody?: unknown;
  /** Whether the live object already has khw's label. */
  readonly labelled: boolean;
  /** The reason why the object cannot be applied. */
  readonly error?: KhwError | undefined;
}

export interface ReviewObjectOptions {
  readonly signal: AbortSignal;
  /** See BootstrapNodesOptions. */
  readonly forceConflicts: boolean;
  /** Whether another object in the folder must first create the object's kind or namespace. */
  readonly pending: boolean;
}

/** Compares an object with the cluster by means of a server-side apply dry run. Changes nothing. */
export async function reviewObject(
  api: KubernetesApi,
  { manifest, resource }: { readonly manifest: Manifest; readonly resource: Resource },
  { signal, forceConflicts, pending }: ReviewObjectOptions,
): Promise<Reviewed> {
  const path = pathOf(resource, manifest);
  const created = {
    manifest,
    path,
    body: labelled(manifest, "adopted"),
    createdBody: labelled(manifest, "created"),
    action: "create",
    fields: [],
    labelled: false,
  } as const;
  if (pending) return created;
  const live = await api("GET", path, { signal });
  if (live.status === 404) {
    const dry = await api("PATCH", path, { signal, body: created.body, force: forceConflicts, dryRun: true });
    return isDone(dry.status) ? created : { ...created, error: refusalOf(manifest, dry) };
  }
  if (live.status !== 200) return { ...created, error: refusalOf(manifest, live) };
  const origin = originOf(live.body);
  const body = labelled(manifest, origin ?? "adopted");
  const base = { manifest, path, body, uid: uidOf(live.body), labelled: origin !== undefined } as const;
  const dry = await api("PATCH", path, { signal, body, force: forceConflicts, dryRun: true });
  const conflicts = conflictsIn(dry);
  if (conflicts.length > 0) {
    const forced = await api("PATCH", path, { signal, body, force: true, dryRun: true });
    const fields = isDone(forced.status) ? compareObjects(manifest, live.body, forced.body) : [];
    return { ...base, action: "change", fields, error: conflictError(manifest, conflicts) };
  }
  if (!isDone(dry.status)) return { ...base, action: "change", fields: [], error: refusalOf(manifest, dry) };
  const fields = compareObjects(manifest, live.body, dry.body);
  return { ...base, action: fields.length === 0 ? "none" : "change", fields };
}

export function isDone(status: number): boolean {
  return status === 200 || status === 201;
}

/**
 * Returns the object with the label "created" and this UID. The API server refuses the change if the live object has
 * another UID.
 */
export function withCreated(one: Reviewed, uid: string): Reviewed {
  const metadata: object = Object(fieldOf(one.createdBody, "metadata"));
  return { ...one, body: { ...Object(one.createdBody), metadata: { ...metadata, uid } } };
}

/** Adds khw's label. */
function labelled({ object }: Manifest, origin: Origin): unknown {
  const metadata: object = Object(fieldOf(object, "metadata"));
  const labels: object = Object(fieldOf(metadata, "labels"));
  return { ...object, metadata: { ...metadata, labels: { ...labels, [manifestsLabel]: origin } } };
}
