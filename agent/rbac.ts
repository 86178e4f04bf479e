import type { KubernetesApi } from "../proto/kubernetes-api.ts";
import { anonymousRole, rulesOfKhw, rbacObjects } from "../proto/rbac.ts";
import { field, refused } from "./api/objects.ts";

export interface RbacOptions {
  /** See ApplyRbacRequest. */
  readonly limitAnonymous?: boolean | undefined;
}

type RbacObject = (typeof rbacObjects)[number] | ReturnType<typeof anonymousRole>;

/**
 * Creates or updates the lab's ClusterRole and ClusterRoleBinding through the API server. Also limits anonymous
 * requests, or restores the Kubernetes default for these requests.
 * @returns the names of the objects that were created or changed
 * @throws KhwError VERIFY_FAILED with the API server's message; UNREACHABLE
 */
export async function applyRbac(
  api: KubernetesApi,
  signal: AbortSignal,
  { limitAnonymous }: RbacOptions = {},
): Promise<string[]> {
  const changed: string[] = [];
  const apply = async ({ path, object }: RbacObject): Promise<void> => {
    const before = await api("GET", path, { signal });
    const after = await api("PATCH", path, { signal, body: object });
    if (after.status !== 200 && after.status !== 201) {
      throw refused(`${object.kind} ${object.metadata.name}`, after.status, after.body);
    }
    if (resourceVersionOf(before.body) !== resourceVersionOf(after.body)) changed.push(object.metadata.name);
  };
  for (const object of rbacObjects) await apply(object);
  if (limitAnonymous === true || (limitAnonymous === false && (await wasLimited(api, signal))))
    await apply(anonymousRole(limitAnonymous ? "limited" : "default"));
  return changed;
}

/** Whether khw has limited anonymous requests. khw does not change a role that somebody else has changed. */
async function wasLimited(api: KubernetesApi, signal: AbortSignal): Promise<boolean> {
  const { status, body } = await api("GET", anonymousRole("default").path, { signal });
  return status === 200 && field(field(field(body, "metadata"), "annotations"), rulesOfKhw) === "limited";
}

function resourceVersionOf(body: unknown): unknown {
  const metadata = field(body, "metadata");
  return field(metadata, "resourceVersion");
}
