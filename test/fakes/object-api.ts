import { fieldOf } from "../../client/pki/check/yaml.ts";
import type { KubernetesApi } from "../../proto/kubernetes-api.ts";

/** An in-memory API server that serves lists and objects. */
export interface ObjectApi {
  readonly api: KubernetesApi;
  /** The items of each list, by the path of the list. */
  readonly lists: Map<string, readonly unknown[]>;
  /** The single objects, by path. */
  readonly objects: Map<string, unknown>;
  /** The number of updates to refuse with a conflict. */
  conflicts: number;
}

/** Serves an empty list at every unlisted path that does not name a single object. */
export function objectApi(): ObjectApi {
  const server: ObjectApi = {
    lists: new Map(),
    objects: new Map(),
    conflicts: 0,
    api: async (method, target, { body }) => {
      const { pathname } = new URL(target, "https://127.0.0.1");
      if (method === "PUT" && server.conflicts-- > 0) return { status: 409, body: {} };
      if (method === "PUT") server.objects.set(pathname, body);
      const one = server.objects.get(pathname);
      if (one !== undefined) return { status: 200, body: one };
      if (pathname.includes("/namespaces/")) return { status: 404, body: {} };
      const items = (server.lists.get(pathname) ?? []).map((item) => ({ ...Object(item), ...named(item) }));
      return { status: 200, body: { items, metadata: {} } };
    },
  };
  return server;
}

function named(item: unknown): { readonly metadata: object } {
  return { metadata: { namespace: "default", ...Object(fieldOf(item, "metadata")) } };
}
