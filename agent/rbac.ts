import { KhwError } from "../proto/errors.ts";
import type { KubernetesApi } from "../proto/kubernetes-api.ts";
import { rbacObjects } from "../proto/rbac.ts";
import { show } from "../proto/validate.ts";

/**
 * Creates or updates the lab's ClusterRole and its binding through the API server.
 * @returns the names of the objects that were created or changed
 * @throws KhwError VERIFY_FAILED with the API server's message; UNREACHABLE
 */
export async function applyRbac(api: KubernetesApi, signal: AbortSignal): Promise<string[]> {
  const changed: string[] = [];
  for (const { path, object } of rbacObjects) {
    const before = await api("GET", path, { signal });
    const after = await api("PATCH", path, { signal, body: object });
    if (after.status !== 200 && after.status !== 201) {
      throw new KhwError(
        "VERIFY_FAILED",
        `the API server answers ${after.status} to ${object.kind} ${object.metadata.name}: ${messageOf(after.body)}`,
        {
          hint: "the admin kubeconfig must belong to system:masters",
        },
      );
    }
    if (resourceVersionOf(before.body) !== resourceVersionOf(after.body)) changed.push(object.metadata.name);
  }
  return changed;
}

function resourceVersionOf(body: unknown): unknown {
  const metadata = field(body, "metadata");
  return field(metadata, "resourceVersion");
}

function messageOf(body: unknown): string {
  const message = field(body, "message");
  return typeof message === "string" ? show(message) : "no message";
}

function field(value: unknown, name: string): unknown {
  return typeof value === "object" && value !== null ? Reflect.get(value, name) : undefined;
}
