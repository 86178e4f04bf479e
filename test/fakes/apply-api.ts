import { isDeepStrictEqual } from "node:util";
import { fieldOf, isMap, textAt } from "../../client/pki/check/yaml.ts";
import type { KubernetesAnswer, KubernetesApi } from "../../proto/kubernetes-api.ts";

type Data = Readonly<Record<string, unknown>>;

/** An in-memory API server that supports server-side apply. */
export interface ApplyApi {
  readonly api: KubernetesApi;
  /** The objects by path, for example "/api/v1/namespaces/default/configmaps/a". */
  readonly objects: Map<string, Data>;
  /** The requests that change objects, for example "PATCH /api/v1/...". */
  readonly changes: string[];
  /** The total number of requests. */
  requests: number;
  /** The fields that other managers own, by the object's path. */
  readonly conflicts: Map<string, { readonly field: string; readonly manager: string }>;
  /** Responses, by method and path, that replace the server's own responses. */
  readonly answers: Map<string, KubernetesAnswer>;
}

const widgets = { name: "widgets", kind: "Widget", namespaced: true, verbs: ["list", "delete"] };
const core = [
  { name: "namespaces", kind: "Namespace", namespaced: false, verbs: ["list", "delete"] },
  { name: "configmaps", kind: "ConfigMap", namespaced: true, verbs: ["list", "delete"] },
  { name: "configmaps/status", kind: "ConfigMap", namespaced: true, verbs: [] },
  { name: "secrets", kind: "Secret", namespaced: true, verbs: ["list", "delete"] },
  { name: "persistentvolumeclaims", kind: "PersistentVolumeClaim", namespaced: true, verbs: ["list", "delete"] },
];
/** Kubernetes 1.20: batch/v1 has only jobs, and cron jobs exist only in batch/v1beta1. */
const jobs = { name: "jobs", kind: "Job", namespaced: true, verbs: ["list", "delete"] };
const cronJobs = { name: "cronjobs", kind: "CronJob", namespaced: true, verbs: ["list", "delete"] };
const definitions = {
  name: "customresourcedefinitions",
  kind: "CustomResourceDefinition",
  namespaced: false,
  verbs: [],
};
const group = (name: string, ...versions: readonly [string, ...string[]]): Data => {
  const all = versions.map((version) => ({ groupVersion: `${name}/${version}` }));
  return { name, preferredVersion: all[0], versions: all };
};
const groups = [group("apiextensions.k8s.io", "v1"), group("batch", "v1", "v1beta1"), group("example.com", "v1")];
const definitionPath = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions/widgets.example.com";
const text404: KubernetesAnswer = { status: 404, body: "404 page not found\n" };
const missing: KubernetesAnswer = { status: 404, body: { kind: "Status", reason: "NotFound", message: "not found" } };

export function applyApi(): ApplyApi {
  const objects = new Map<string, Data>();
  let count = 0;
  const server: ApplyApi = {
    objects,
    changes: [],
    requests: 0,
    conflicts: new Map(),
    answers: new Map(),
    api: async (method, target, { body, force = true, dryRun = false }) => {
      server.requests += 1;
      const { pathname } = new URL(target, "https://127.0.0.1");
      const path = decodeURIComponent(pathname);
      const answer = server.answers.get(`${method} ${path}`);
      if (answer !== undefined) return answer;
      const hasWidgets = objects.has(definitionPath);
      if (path.startsWith("/apis/example.com") && !hasWidgets) return text404;
      const namespace = /^\/api\/v1\/namespaces\/([^/]+)\/./.exec(path)?.[1];
      if (method === "GET") return discovery(path, hasWidgets) ?? read(path);
      if (method !== "PATCH" && !dryRun) server.changes.push(`${method} ${path}`);
      if (method === "DELETE") {
        const uid = textAt(fieldOf(objects.get(path), "metadata"), "uid");
        if (uid !== textAt(fieldOf(body, "preconditions"), "uid")) return { status: 409, body: {} };
        return objects.delete(path) ? { status: 200, body: {} } : missing;
      }
      if (method !== "PATCH") return store(method === "POST" ? `${path}/khw-manifests` : path, Object(body));
      if (namespace !== undefined && namespace !== "default" && !objects.has(`/api/v1/namespaces/${namespace}`))
        return missing;
      const conflict = server.conflicts.get(path);
      if (conflict !== undefined && !force) return conflictAnswer(conflict);
      const before = objects.get(path);
      const wanted = textAt(fieldOf(body, "metadata"), "uid");
      if (wanted !== undefined && wanted !== textAt(fieldOf(before, "metadata"), "uid"))
        return { status: 409, body: { message: "uid mismatch" } };
      const applied = merge(before, withoutUid(Object(body)));
      if (dryRun) return { status: 200, body: applied };
      if (conflict !== undefined) server.conflicts.delete(path);
      server.changes.push(`PATCH ${path}`);
      return store(path, Object(applied));
    },
  };
  const read = (path: string): KubernetesAnswer => {
    const one = objects.get(path);
    if (one !== undefined) return { status: 200, body: one };
    const kind = path.split("/").at(-1) ?? "";
    if (![...core, definitions, widgets, jobs, cronJobs].some(({ name }) => name === kind)) return missing;
    const within = path.slice(0, -kind.length);
    const items = [...objects].filter(([other]) => other.startsWith(within) && other.includes(`/${kind}/`));
    return { status: 200, body: { items: items.map(([, object]) => object), metadata: {} } };
  };
  const store = (path: string, body: Data): KubernetesAnswer => {
    count += 1;
    const before = fieldOf(objects.get(path), "metadata");
    const metadata = {
      ...Object(body["metadata"]),
      uid: textAt(before, "uid") ?? `uid-${count}`,
      resourceVersion: `${count}`,
    };
    const conditions =
      path === definitionPath ? { status: { conditions: [{ type: "Established", status: "True" }] } } : {};
    const object = { ...body, ...conditions, metadata };
    objects.set(path, object);
    return { status: before === undefined ? 201 : 200, body: object };
  };
  return server;
}

function discovery(path: string, hasWidgets: boolean): KubernetesAnswer | undefined {
  if (path === "/readyz") return { status: 200, body: "ok" };
  if (path === "/api/v1") return { status: 200, body: { resources: core } };
  if (path === "/apis") return { status: 200, body: { groups: hasWidgets ? groups : groups.slice(0, -1) } };
  const versions = groups.find(({ name }) => path === `/apis/${String(name)}`);
  if (versions !== undefined) return { status: 200, body: versions };
  if (path === "/apis/apiextensions.k8s.io/v1") return { status: 200, body: { resources: [definitions] } };
  if (path === "/apis/batch/v1") return { status: 200, body: { resources: [jobs] } };
  if (path === "/apis/batch/v1beta1") return { status: 200, body: { resources: [cronJobs] } };
  if (path === "/apis/example.com/v1") return { status: 200, body: { resources: [widgets] } };
  return undefined;
}

function conflictAnswer({ field, manager }: { readonly field: string; readonly manager: string }): KubernetesAnswer {
  const message = `conflict with "${manager}" using v1`;
  return { status: 409, body: { details: { causes: [{ reason: "FieldManagerConflict", message, field }] } } };
}

/** Removes the object's UID, which no manager owns. */
function withoutUid(body: Data): Data {
  const { uid: _, ...metadata } = Object(body["metadata"]);
  return { ...body, metadata };
}

/**
 * Replaces the fields that khw applied earlier, and keeps all other fields. In this fake, managedFields contains the
 * values of the fields, too.
 */
function merge(before: Data | undefined, body: Data): Data {
  const khw = { manager: "khw", operation: "Apply", fieldsV1: body };
  const entries: readonly unknown[] = Object(fieldOf(before, "metadata")).managedFields ?? [];
  const old = entries.find((entry) => textAt(entry, "manager") === "khw");
  const merged = combine(before, body, fieldOf(old, "fieldsV1"));
  const metadata = { ...Object(fieldOf(merged, "metadata")), managedFields: [khw] };
  return { ...Object(merged), metadata };
}

function combine(live: unknown, wanted: unknown, owned: unknown): unknown {
  if (!isMap(live) || !isMap(wanted)) return isDeepStrictEqual(live, wanted) ? live : wanted;
  const gone = new Set(Object.keys(Object(owned)).filter((key) => !Object.hasOwn(wanted, key)));
  const rest = Object.entries(live).filter(([key]) => !gone.has(key));
  const changed = Object.entries(wanted).map(([key, value]) => [
    key,
    combine(fieldOf(live, key), value, fieldOf(owned, key)),
  ]);
  return { ...Object.fromEntries(rest), ...Object.fromEntries(changed) };
}
