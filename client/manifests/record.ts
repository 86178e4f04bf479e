import { KhwError } from "../../proto/errors.ts";
import type { KubernetesApi } from "../../proto/kubernetes-api.ts";
import { fieldOf, listOf, textAt } from "../pki/check/yaml.ts";
import { keyOf, type ObjectName } from "./object.ts";
import { refusalOf } from "./refusal.ts";

/** The ConfigMap that lists the objects that khw has applied. khw deletes only listed objects. */
export const recordName = {
  apiVersion: "v1",
  kind: "ConfigMap",
  namespace: "kube-system",
  name: "khw-manifests",
} as const;

const folder = "/api/v1/namespaces/kube-system/configmaps";
const path = `${folder}/${recordName.name}`;
const dataKey = "objects.json";

export interface ManifestRecord {
  /** Absent if the cluster has no record. */
  readonly resourceVersion?: string | undefined;
  readonly objects: readonly ObjectName[];
}

/** @throws KhwError MANIFEST_REFUSED if the record cannot be read */
export async function readRecord(api: KubernetesApi, signal: AbortSignal): Promise<ManifestRecord> {
  const { status, body } = await api("GET", path, { signal });
  if (status === 404) return { objects: [] };
  if (status !== 200) throw refusalOf(recordName, { status, body });
  const text = textAt(fieldOf(body, "data"), dataKey) ?? "";
  const objects = parseNames(text);
  const resourceVersion = textAt(fieldOf(body, "metadata"), "resourceVersion");
  if (objects === undefined || resourceVersion === undefined) {
    throw new KhwError(
      "MANIFEST_REFUSED",
      "the record of applied objects cannot be read, so nothing was applied or deleted",
      {
        hint: "look at it with kubectl get configmap -n kube-system khw-manifests -o yaml; if you delete it, khw forgets what it applied, and deletes nothing",
      },
    );
  }
  return { resourceVersion, objects };
}

function parseNames(text: string): ObjectName[] | undefined {
  let parsed: unknown;
  try {
    parsed = JSON.parse(text);
  } catch {
    return undefined;
  }
  const items = listOf({ items: parsed }, "items");
  const names = items.flatMap((item) => {
    const [apiVersion, kind, name] = ["apiVersion", "kind", "name"].map((key) => textAt(item, key));
    if (apiVersion === undefined || kind === undefined || name === undefined) return [];
    return [{ apiVersion, kind, namespace: textAt(item, "namespace"), name }];
  });
  return Array.isArray(parsed) && names.length === items.length ? names : undefined;
}

/**
 * Replaces the record if the list of objects has changed. Returns the new record.
 * @throws KhwError MANIFEST_REFUSED if another process has changed the record since it was read
 */
export async function writeRecord(
  api: KubernetesApi,
  before: ManifestRecord,
  { objects, signal }: { readonly objects: readonly ObjectName[]; readonly signal: AbortSignal },
): Promise<ManifestRecord> {
  const names = [...new Map(objects.map((one) => [keyOf(one), shorten(one)])).entries()]
    .toSorted(([one], [other]) => (one < other ? -1 : 1))
    .map(([, name]) => name);
  const text = JSON.stringify(names);
  const { resourceVersion } = before;
  if (resourceVersion !== undefined && text === JSON.stringify(before.objects.map(shorten))) return before;
  const { apiVersion, kind, namespace, name } = recordName;
  const metadata = { namespace, name, ...(resourceVersion === undefined ? {} : { resourceVersion }) };
  const body = { apiVersion, kind, metadata, data: { [dataKey]: text } };
  const answer = await (resourceVersion === undefined
    ? api("POST", folder, { signal, body })
    : api("PUT", path, { signal, body }));
  if (answer.status === 409) {
    throw new KhwError(
      "MANIFEST_REFUSED",
      "the record of applied objects has changed since it was read, so another bootstrap is running",
      {
        hint: "wait until the other khw-client bootstrap has ended, then run the command again",
      },
    );
  }
  const version = textAt(fieldOf(answer.body, "metadata"), "resourceVersion");
  if (answer.status !== 200 && answer.status !== 201) throw refusalOf(recordName, answer);
  return { resourceVersion: version, objects: names };
}

function shorten({ apiVersion, kind, namespace, name }: ObjectName): ObjectName {
  return { apiVersion, kind, ...(namespace === undefined ? {} : { namespace }), name };
}
