import { KhwError, toKhwError } from "../../proto/errors.ts";
import type { KubernetesAnswer, KubernetesApi } from "../../proto/kubernetes-api.ts";
import { waitFor } from "../../proto/wait-for.ts";
import { fieldOf, listOf, textAt } from "../pki/check/yaml.ts";
import { note } from "../progress/progress.ts";
import {
  describeObject,
  groupOf,
  isDefinition,
  isNamespace,
  keyOf,
  manifestsLabel,
  type ObjectName,
  originOf,
  uidOf,
} from "./object.ts";
import { deleteLeaving } from "./delete.ts";
import { writeRecord } from "./record.ts";
import { conflictError, conflictsIn, placed, refusalOf } from "./refusal.ts";
import type { ApplyOptions, Review } from "./review.ts";
import { isDone, type Reviewed, withCreated } from "./review-object.ts";

/** The time limit for all API servers to serve a new kind. Each API server learns about the kind independently. */
const servedMillis = 30_000;
const intervalMillis = 500;

/**
 * Applies the objects that differ, then deletes the objects that are no longer in the folder. If any object cannot be
 * applied, deletes nothing. Returns the errors.
 *
 * The record is written first, so that an interruption leaves no applied object without a record. A second run
 * continues an interrupted run.
 */
export async function applyReview(api: KubernetesApi, review: Review, options: ApplyOptions): Promise<KhwError[]> {
  if (review.errors.length > 0) return [...review.errors];
  const { progress, signal } = options;
  const { objects, record: before } = review;
  const manifests = objects.map(({ manifest }) => manifest);
  if (before.resourceVersion === undefined && objects.some(({ labelled }) => labelled)) note(progress, lostRecord);
  const known = new Set(before.objects.map(keyOf));
  const added = manifests.filter((manifest) => !known.has(keyOf(manifest)));
  const record =
    added.length === 0 ? before : await writeRecord(api, before, { objects: [...before.objects, ...added], signal });
  const changes = objects.filter(({ action }) => action !== "none");
  const errors = await applyAll(api, changes, options);
  if (errors.length > 0) return errors;
  const kept = await deleteLeaving(api, review, options);
  if (record.resourceVersion !== undefined)
    await writeRecord(api, record, { objects: [...manifests, ...kept.names], signal });
  return [...kept.errors];
}

const lostRecord =
  "warning: manifests: the record of applied objects (ConfigMap kube-system/khw-manifests) was missing, and is written again from the folder; " +
  "objects that were removed from the folder earlier are not deleted; to list them, run kubectl api-resources --verbs=list --output=name | " +
  `xargs -n 1 kubectl get --all-namespaces --ignore-not-found --show-kind --selector=${manifestsLabel}`;

async function applyAll(api: KubernetesApi, changes: readonly Reviewed[], options: ApplyOptions): Promise<KhwError[]> {
  const errors: KhwError[] = [];
  for (const rank of [0, 1, 2]) {
    const applied: Reviewed[] = [];
    for (const one of changes.filter(({ manifest }) => rankOf(manifest) === rank)) {
      try {
        await applyObject(api, one, options);
        applied.push(one);
      } catch (thrown) {
        options.signal.throwIfAborted();
        errors.push(toKhwError(thrown));
      }
    }
    // An object whose kind or namespace is missing would only add an error that hides the first error.
    if (rank === 0 && errors.length > 0) return errors;
    await Promise.all(
      applied.filter(({ manifest }) => isDefinition(manifest)).map(async (one) => untilEstablished(api, one, options)),
    );
  }
  return errors;
}

const interceptors: ReadonlySet<string> = new Set(["admissionregistration.k8s.io", "apiregistration.k8s.io"]);

/** Namespaces and definitions come first. Objects that intercept requests come last, after their backends. */
function rankOf(name: ObjectName): number {
  if (isNamespace(name) || isDefinition(name)) return 0;
  return interceptors.has(groupOf(name)) ? 2 : 1;
}

async function applyObject(api: KubernetesApi, one: Reviewed, options: ApplyOptions): Promise<void> {
  const { manifest, path, action, createdBody } = one;
  // The review could not read an object whose kind was not served yet.
  const live = createdBody === undefined ? undefined : await api("GET", path, { signal: options.signal });
  const own = live?.status === 200 && originOf(live.body) === "created" ? uidOf(live.body) : undefined;
  const { status, body } = await sendObject(api, own === undefined ? one : withCreated(one, own), options);
  const uid = uidOf(body);
  if (createdBody !== undefined && status === 201 && uid !== undefined)
    await sendObject(api, withCreated(one, uid), options);
  const verb = action === "create" && status === 201 ? "created" : "changed";
  note(options.progress, `manifests: ${describeObject(manifest)} ${verb}`);
}

async function sendObject(
  api: KubernetesApi,
  { manifest, path, body }: Reviewed,
  { signal, forceConflicts }: ApplyOptions,
): Promise<KubernetesAnswer> {
  const answer = await waitFor<KubernetesAnswer>({
    what: `${placed(manifest)}: the API server does not serve this kind yet`,
    check: async () => {
      const found = await api("PATCH", path, { signal, body, force: forceConflicts });
      // An API server that knows the kind answers with a Status object.
      return found.status === 404 && typeof found.body === "string" ? { seen: "status 404" } : { reached: found };
    },
    deadlineMillis: servedMillis,
    intervalMillis,
    signal,
  });
  const conflicts = conflictsIn(answer);
  if (conflicts.length > 0) throw conflictError(manifest, conflicts);
  if (!isDone(answer.status)) throw refusalOf(manifest, answer);
  return answer;
}

/** Waits until the API servers serve a new kind. */
async function untilEstablished(
  api: KubernetesApi,
  { manifest, path }: Reviewed,
  { signal }: Pick<ApplyOptions, "signal">,
): Promise<void> {
  await waitFor<true>({
    what: `${placed(manifest)}: the new kind is not established`,
    check: async () => {
      const { status, body } = await api("GET", path, { signal });
      const conditions = listOf(fieldOf(body, "status"), "conditions");
      const condition = (type: string): unknown => conditions.find((one) => textAt(one, "type") === type);
      if (textAt(condition("Established"), "status") === "True") return { reached: true };
      const refused = condition("NamesAccepted");
      if (textAt(refused, "status") === "False")
        throw new KhwError(
          "MANIFEST_REFUSED",
          `${placed(manifest)}: ${textAt(refused, "message") ?? "its names are taken"}`,
          { hint: "choose other names in spec.names" },
        );
      return { seen: `status ${status}` };
    },
    deadlineMillis: servedMillis,
    intervalMillis,
    signal,
  });
}
