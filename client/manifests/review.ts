import pLimit from "p-limit";
import { KhwError } from "../../proto/errors.ts";
import type { KubernetesApi } from "../../proto/kubernetes-api.ts";
import type { ProgressOptions } from "../progress/progress.ts";
import { isDefinition, isNamespace, type Manifest } from "./object.ts";
import type { Leaving } from "./leaving.ts";
import { reviewLeaving } from "./prune.ts";
import { type ManifestRecord, readRecord } from "./record.ts";
import { placed } from "./refusal.ts";
import { definedResources } from "./definitions.ts";
import { type Discovery, discovery, type Resource } from "./resources.ts";
import { type Reviewed, reviewObject } from "./review-object.ts";

/** The differences between the folder and the cluster. */
export interface Review {
  readonly record: ManifestRecord;
  readonly objects: readonly Reviewed[];
  /** The recorded objects that are no longer in the folder. */
  readonly leaving: readonly Leaving[];
  /** The errors; if there are any, khw must not apply anything. */
  readonly errors: readonly KhwError[];
  readonly discover: Discovery;
}

export interface ReviewOptions {
  readonly signal: AbortSignal;
  /** Whether to overwrite fields that other managers have set to other values. */
  readonly forceConflicts: boolean;
  /**
   * The objects that may be deleted together with their contents, for example "Namespace/a". "all" also allows an empty
   * folder.
   */
  readonly allowed: ReadonlySet<string>;
}

export interface ApplyOptions extends ProgressOptions, Pick<ReviewOptions, "forceConflicts" | "allowed"> {}

/**
 * The number of concurrent requests. It is small because a rolling update may leave only one API server to answer them.
 */
const concurrency = 8;

interface Item {
  readonly manifest: Manifest;
  readonly resource: Resource;
  /** Whether the folder defines the kind, but the cluster does not serve the kind yet. */
  readonly undefinedYet: boolean;
}

/**
 * Compares the folder with the cluster. Changes nothing.
 * @throws KhwError UNREACHABLE, VERIFY_FAILED, MANIFEST_REFUSED (the record cannot be read)
 */
export async function reviewManifests(
  api: KubernetesApi,
  manifests: readonly Manifest[],
  { signal, forceConflicts, allowed }: ReviewOptions,
): Promise<Review> {
  const discover = discovery(api, signal);
  const [record, found] = await Promise.all([readRecord(api, signal), findResources(manifests, discover)]);
  const errors = [...refuseEmpty(manifests, record, allowed), ...found.errors];
  if (errors.length > 0) return { record, objects: [], leaving: [], errors, discover };
  const review = async (items: readonly Item[], created: ReadonlySet<string>): Promise<Reviewed[]> =>
    pLimit(concurrency).map(items, (item) => {
      const { namespace } = item.manifest;
      const pending = item.undefinedYet || (namespace !== undefined && created.has(namespace));
      return reviewObject(api, item, { signal, forceConflicts, pending });
    });
  const first = await review(found.items.filter(isFirst), new Set());
  const created = first.filter(({ manifest, action }) => isNamespace(manifest) && action === "create");
  const others = await review(
    found.items.filter((item) => !isFirst(item)),
    new Set(created.map(({ manifest }) => manifest.name)),
  );
  const objects = [...first, ...others];
  const present = new Set(objects.flatMap(({ uid }) => uid ?? []));
  const leaving = await reviewLeaving(api, record.objects, { discover, manifests, present, allowed, signal });
  return { record, objects, leaving, errors: objects.flatMap(({ error }) => error ?? []), discover };
}

function isFirst({ manifest }: Pick<Item, "manifest">): boolean {
  return isNamespace(manifest) || isDefinition(manifest);
}

/** Refuses an empty folder, which may be the result of a wrong path or a failed checkout. */
function refuseEmpty(
  manifests: readonly Manifest[],
  { objects }: ManifestRecord,
  allowed: ReadonlySet<string>,
): KhwError[] {
  if (manifests.length > 0 || objects.length === 0 || allowed.has("all")) return [];
  return [
    new KhwError(
      "MANIFEST_REFUSED",
      `the folder has no objects, so all ${objects.length} objects that khw applied would be deleted`,
      { hint: "check manifests in khw.yaml; to delete the objects, run khw-client bootstrap --allow-prune all" },
    ),
  ];
}

async function findResources(
  manifests: readonly Manifest[],
  discover: Discovery,
): Promise<{ readonly items: readonly Item[]; readonly errors: readonly KhwError[] }> {
  const defined = definedResources(manifests);
  const found = await Promise.all(
    manifests.map(async (manifest): Promise<Item | KhwError> => {
      const matches = ({ apiVersion, kind }: Resource): boolean =>
        apiVersion === manifest.apiVersion && kind === manifest.kind;
      const served = (await discover(manifest.apiVersion)).find(matches);
      const resource = served ?? defined.find(matches);
      if (resource === undefined) return refuse(manifest, unknownKind(manifest), unknownHint);
      if (!resource.namespaced && manifest.namespace !== undefined)
        return refuse(manifest, "objects of this kind have no namespace", "remove metadata.namespace");
      return { manifest, resource, undefinedYet: served === undefined };
    }),
  );
  const errors = found.filter((one) => one instanceof KhwError);
  return { items: found.flatMap((one) => (one instanceof KhwError ? [] : one)), errors };
}

const unknownHint = "correct apiVersion or kind, or add the CustomResourceDefinition to the folder";

function unknownKind({ apiVersion, kind }: Manifest): string {
  return `the cluster has no kind ${kind} in ${apiVersion}`;
}

function refuse(manifest: Manifest, message: string, hint: string): KhwError {
  return new KhwError("MANIFEST_REFUSED", `${placed(manifest)}: ${message}`, { hint });
}
