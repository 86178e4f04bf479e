import { KhwError } from "../../proto/errors.ts";
import type { KubernetesApi } from "../../proto/kubernetes-api.ts";
import { show } from "../../proto/validate.ts";

/** The number of objects to request at a time. A Node object with many images is about 20 KB in size. */
const pageSize = 100;

/**
 * Reads all objects of a collection.
 * @throws KhwError VERIFY_FAILED with the API server's message if the API server refuses the request
 */
export async function readAll(api: KubernetesApi, path: string, signal: AbortSignal): Promise<unknown[]> {
  const objects: unknown[] = [];
  let token = "";
  do {
    const page = `?limit=${pageSize}${token === "" ? "" : `&continue=${encodeURIComponent(token)}`}`;
    const { status, body } = await api("GET", `${path}${page}`, { signal });
    if (status !== 200) throw refused(`GET ${path}`, status, body);
    const items = field(body, "items");
    if (Array.isArray(items)) objects.push(...(items as unknown[]));
    token = textField(field(body, "metadata"), "continue");
  } while (token !== "");
  return objects;
}

/** Returns the error for an unexpected response. */
export function refused(what: string, status: number, body: unknown): KhwError {
  const message = textField(body, "message");
  const said = message === "" ? "no message" : show(message);
  return new KhwError("VERIFY_FAILED", `the API server answered ${status} to ${what}: ${said}`, {
    hint: "use a kubeconfig whose user is in the group system:masters",
  });
}

export function field(value: unknown, name: string): unknown {
  return typeof value === "object" && value !== null ? Reflect.get(value, name) : undefined;
}

/** Returns the value of a text field, or an empty string if the field is missing. */
export function textField(value: unknown, name: string): string {
  const found = field(value, name);
  return typeof found === "string" ? found : "";
}

/** Returns the elements of a list field, or an empty list if the field is missing. */
export function listField(value: unknown, name: string): readonly unknown[] {
  const found = field(value, name);
  return Array.isArray(found) ? (found as unknown[]) : [];
}
