import type { KubernetesApi } from "../proto/kubernetes-api.ts";
import { rbacObjects } from "../proto/rbac.ts";
import { field, refused } from "./api/objects.ts";

/**
 * Creates or updates the lab's ClusterRole and ClusterRoleBinding through the API server.
 * @returns the names of the objects that were created or changed
 * @throws KhwError VERIFY_FAILED with the API server's message; UNREACHABLE
 */
export async function applyRbac(api: KubernetesApi, signal: AbortSignal): Promise<string[]> {
  const changed: string[] = [];
  for (const { path, object } of rbacObjects) {
    const before = await api("GET", path, { signal });
    const after = await api("PATCH", path, { signal, body: object });
    if (after.status !== 200 && after.status !== 201) {
      throw refused(`${object.kind} ${object.metadata.name}`, after.status, after.body);
    }
    if (resourceVersionOf(before.body) !== resourceVersionOf(after.body)) changed.push(object.metadata.name);
  }
  return changed;
}

function resourceVersionOf(body: unknown): unknown {
  const metadata = field(body, "metadata");
  return field(metadata, "resourceVersion");
}
