import { type Backoff, backoffMillis } from "../../proto/backoff.ts";
import { KhwError, toKhwError } from "../../proto/errors.ts";
import { fieldOf, listOf, textAt } from "../pki/check/yaml.ts";
import { pause } from "../../proto/wait-for.ts";
import { combineErrors } from "../cluster/combine-errors.ts";
import type { MetadataApi } from "./metadata-api.ts";
import { type ServedResource, unexpected } from "./resources.ts";

export interface RewriteOptions {
  readonly signal: AbortSignal;
  readonly progress: (text: string) => void;
  /** The number of objects to write at once. */
  readonly atOnce: number;
}

/** The number of objects per page of a list. Even a page of objects with large annotations stays small. */
const pageSize = 100;
const tries = 4;
const backoff: Backoff = { firstMillis: 500, maxMillis: 2_000 };
const shown = 10;

/**
 * Has the API server rewrite every object of the resource with the current encryption. The objects' contents never
 * leave the cluster. Because the patch is empty, concurrent changes by others are kept.
 * @returns the number of objects
 * @throws KhwError VERIFY_FAILED that names the objects that could not be written; UNREACHABLE
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
  throw combineErrors(failures.slice(0, shown), {
    code: "VERIFY_FAILED",
    headline: `${failures.length} of ${paths.length} ${resource.name} could not be rewritten${rest}`,
  });
}

/**
 * Returns the paths of all objects. All names are read first, because the pages of a list expire after a few minutes.
 */
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
      const [name, namespace] = [textAt(metadata, "name"), textAt(metadata, "namespace")];
      if (name === undefined) continue;
      const scope = namespace === undefined ? "" : `/namespaces/${encodeURIComponent(namespace)}`;
      paths.push(`${base}${scope}/${plural}/${encodeURIComponent(name)}`);
    }
    next = textAt(fieldOf(body, "metadata"), "continue");
  } while (next !== undefined);
  return paths;
}

/**
 * Retries the write, because lost connections, conflicts and server overload are temporary. Returns the last failure.
 */
async function touch(api: MetadataApi, path: string, signal: AbortSignal): Promise<KhwError | undefined> {
  for (let attempt = 1; ; attempt++) {
    let failure: KhwError;
    try {
      const { status, body } = await api.touch(path, signal);
      // An object that was deleted does not need to be rewritten.
      if (status === 200 || status === 404) return undefined;
      failure = rewriteError(path, status, body);
      if (!passing.has(status)) return failure;
    } catch (thrown) {
      signal.throwIfAborted();
      failure = toKhwError(thrown);
      if (failure.code !== "UNREACHABLE") throw failure;
    }
    if (attempt === tries) return failure;
    await pause(backoffMillis(attempt, backoff), signal);
  }
}

const passing: ReadonlySet<number> = new Set([409, 429, 500, 502, 503, 504]);

function rewriteError(path: string, status: number, body: unknown): KhwError {
  const why = textAt(body, "message");
  return new KhwError("VERIFY_FAILED", `${path}: ${status}${why === undefined ? "" : ` ${why}`}`);
}
