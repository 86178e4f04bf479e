import { KhwError } from "../../proto/errors.ts";
import type { KubernetesApi } from "../../proto/kubernetes-api.ts";
import { fieldOf, listOf, textAt } from "../pki/check/yaml.ts";

/** The number of objects per page. A page of typical objects stays under the size limit of a response. */
const usualPageSize = 50;

export interface ListOptions {
  readonly signal: AbortSignal;
  readonly query?: Readonly<Record<string, string>>;
  readonly pageSize?: number;
}

/**
 * Yields all objects of a list, page by page.
 * @throws KhwError VERIFY_FAILED for any status other than 200
 */
export async function* listObjects(
  api: KubernetesApi,
  path: string,
  { signal, query = {}, pageSize = usualPageSize }: ListOptions,
): AsyncGenerator {
  let next: string | undefined;
  do {
    const parameters = new URLSearchParams({
      ...query,
      limit: String(pageSize),
      ...(next === undefined ? {} : { continue: next }),
    });
    const { status, body } = await api("GET", `${path}?${parameters.toString()}`, { signal });
    if (status !== 200) throw unexpected(`GET ${path}`, status);
    yield* listOf(body, "items");
    next = textAt(fieldOf(body, "metadata"), "continue");
  } while (next !== undefined);
}

export function unexpected(request: string, status: number): KhwError {
  return new KhwError("VERIFY_FAILED", `the API server answered ${request} with status ${status}`, {
    hint: "run the command again; if the error persists, check that the administrator is in the group system:masters",
  });
}
