import { KhwError, toKhwError } from "../../proto/errors.ts";
import { fieldOf, listOf, textOf } from "../pki/check/yaml.ts";
import { pause } from "../gce/retry.ts";
import { several } from "../cluster/combine-errors.ts";
import type { MetadataApi } from "./metadata-api.ts";
import { type ServedResource, unexpected } from "./resources.ts";

export interface RewriteOptions {
  readonly signal: AbortSignal;
  readonly progress: (text: string) => void;
  /** How many objects are written at once. */
  readonly atOnce: number;
}

/** Of a list's page: small enough that pages of objects with large annotations are no burden. */
const pageSize = 100;
const tries = 4;
const pauseMillis = 500;
const shown = 10;

/**
 * Has every object of the resource stored anew, as the API server stores objects now; their content never leaves the cluster.
 * What is changed or deleted meanwhile by others is theirs: an empty patch takes nobody's change back.
 * @returns how many objects there were
 * @throws KhwError VERIFY_FAILED naming the objects that could not be written; UNREACHABLE
 */
export async function rewrite(
  api: MetadataApi,
  resource: ServedResource,
  { signal, progress, atOnce }: RewriteOptions,
): Promise<number> {
  const paths = await listPaths(api, resource, signal);
  const queue = paths.values();
  const failures: KhwError[] = [];
  let done = 0;
  const worker = async (): Promise<void> => {
    for (const path of queue) {
      const failure = await touch(api, path, signal);
      if (failure !== undefined) failures.push(failure);
      done += 1;
      if (done % pageSize === 0) progress(`${done} of ${paths.length} ${resource.name}`);
    }
  };
  await Promise.all(Array.from({ length: atOnce }, worker));
  if (failures.length === 0) return paths.length;
  const rest = failures.length > shown ? ` (the first ${shown} of them)` : "";
  throw several(failures.slice(0, shown), {
    code: "VERIFY_FAILED",
    headline: `${failures.length} of ${paths.length} ${resource.name} could not be stored anew${rest}`,
  });
}

/** The paths of all objects. Names alone are kept, and all of them first: a list's pages live for some minutes only. */
async function listPaths(
  api: MetadataApi,
  { base, plural }: ServedResource,
  signal: AbortSignal,
): Promise<readonly string[]> {
  const paths: string[] = [];
  let next: string | undefined;
  do {
    const query = new URLSearchParams({
      limit: String(pageSize),
      ...(next === undefined ? {} : { continue: next }),
    });
    const path = `${base}/${plural}?${query.toString()}`;
    const { status, body } = await api.get(path, signal);
    if (status !== 200) throw unexpected(path, status);
    for (const item of listOf(body, "items")) {
      const metadata = fieldOf(item, "metadata");
      const [name, namespace] = [textOf(metadata, "name"), textOf(metadata, "namespace")];
      if (name === undefined) continue;
      const scope = namespace === undefined ? "" : `/namespaces/${encodeURIComponent(namespace)}`;
      paths.push(`${base}${scope}/${plural}/${encodeURIComponent(name)}`);
    }
    next = textOf(fieldOf(body, "metadata"), "continue");
  } while (next !== undefined);
  return paths;
}

/** A connection that is cut, a conflict and an overloaded server pass; what is left after some tries is told. */
async function touch(api: MetadataApi, path: string, signal: AbortSignal): Promise<KhwError | undefined> {
  for (let attempt = 1; ; attempt++) {
    let failure: KhwError;
    try {
      const { status, body } = await api.touch(path, signal);
      // Deleted meanwhile: there is nothing to store.
      if (status === 200 || status === 404) return undefined;
      failure = refused(path, status, body);
      if (!passing.has(status)) return failure;
    } catch (thrown) {
      signal.throwIfAborted();
      failure = toKhwError(thrown);
      if (failure.code !== "UNREACHABLE") throw failure;
    }
    if (attempt === tries) return failure;
    await pause(pauseMillis * attempt, signal);
  }
}

const passing: ReadonlySet<number> = new Set([409, 429, 500, 502, 503, 504]);

function refused(path: string, status: number, body: unknown): KhwError {
  const why = textOf(body, "message");
  return new KhwError("VERIFY_FAILED", `${path}: ${status}${why === undefined ? "" : ` ${why}`}`);
}
