import { toKhwError } from "../../proto/errors.ts";
import type { StoredValues, StoredVersion } from "../../proto/gen/khw/agent/v1/encryption.ts";
import type { Files } from "../os/files.ts";
import { base64, type Gateway, openGateway, etcdUnavailable } from "./gateway.ts";
import { readEtcdIdentity } from "./identity.ts";
import { readTypeMeta } from "./type-meta.ts";

export interface ReadValuesOptions {
  /** etcd's client URLs, tried in turn until a server has answered all requests. */
  readonly servers: readonly string[];
  readonly files: Pick<Files, "read">;
  /** The API server's --etcd-prefix. */
  readonly prefix: string;
  readonly signal: AbortSignal;
}

/**
 * The number of values in a page. Even a page of the largest values that etcd accepts (1.5 MiB each) fits in memory.
 */
const pageSize = 25;
const maxPageBytes = 64 * 1024 * 1024;
const pageMillis = 20_000;

/** A value that Kubernetes stores. */
interface StoredValue {
  /** The key without the Kubernetes prefix, for example "secrets/default/token". */
  readonly path: string;
  readonly value: Buffer;
}

/**
 * Counts all values that Kubernetes stores, by resource and by encryption key.
 * @throws KhwError NOT_READY
 */
export async function countStoredValues(options: ReadValuesOptions): Promise<StoredValues[]> {
  return askServers(options, async (gateway) => {
    const groups = new Map<string, StoredValues>();
    for await (const { path, value } of readValues(gateway, "", options)) {
      const stored = { resource: resourceOf(path), ...encryptionOf(value) };
      const name = [stored.resource, stored.provider, stored.key].join("\0");
      groups.set(name, { ...stored, count: (groups.get(name)?.count ?? 0) + 1 });
    }
    return [...groups.values()];
  });
}

/** The maximum number of objects to list by name for each version. */
const maxExamples = 3;

/**
 * Counts the values of these resources by the API version in which each value is stored. Other values are not read.
 * @throws KhwError NOT_READY
 */
export async function countStoredVersions(
  resources: readonly string[],
  options: ReadValuesOptions,
): Promise<StoredVersion[]> {
  return askServers(options, async (gateway) => {
    const groups = new Map<string, StoredVersion>();
    for (const resource of resources) {
      for await (const { path, value } of readValues(gateway, `${resource}/`, options)) {
        const encrypted = encryptionOf(value).provider !== "";
        const { apiVersion = "", kind = "" } = encrypted ? {} : (readTypeMeta(value) ?? {});
        const name = [resource, apiVersion, kind, encrypted].join("\0");
        const group = groups.get(name) ?? { resource, apiVersion, kind, encrypted, count: 0, examples: [] };
        const object = path.slice(resource.length + 1);
        const examples = group.examples.length < maxExamples ? [...group.examples, object] : group.examples;
        groups.set(name, { ...group, count: group.count + 1, examples });
      }
    }
    return [...groups.values()];
  });
}

/** Asks the servers in turn until a server has answered all requests. */
async function askServers<Result>(
  { servers, files, signal }: ReadValuesOptions,
  ask: (gateway: Gateway) => Promise<Result>,
): Promise<Result> {
  let failure = etcdUnavailable("etcd", "no desired state lists the etcd servers");
  for (const server of servers) {
    try {
      const identity = await readEtcdIdentity(server, files);
      return await ask(openGateway(server, identity, { callMillis: pageMillis, maxAnswerBytes: maxPageBytes }));
    } catch (error) {
      signal.throwIfAborted();
      failure = toKhwError(error);
    }
  }
  throw failure;
}

/** Reads the values whose keys start with the Kubernetes prefix followed by this path. Reads one page at a time. */
async function* readValues(
  { post }: Gateway,
  path: string,
  { prefix, signal }: ReadValuesOptions,
): AsyncGenerator<StoredValue> {
  const folder = `${prefix.replace(/\/+$/, "")}/`;
  const first = `${folder}${path}`;
  // The first key after all keys that start with `first`. The text `first` ends with a slash.
  const end = base64(`${first.slice(0, -1)}0`);
  let from = base64(first);
  for (;;) {
    const page = await post("/v3/kv/range", { key: from, range_end: end, limit: pageSize }, signal);
    const pairs = Array.isArray(page["kvs"]) ? page["kvs"].map(toPair) : [];
    for (const { key, value } of pairs) yield { path: key.slice(folder.length), value };
    const last = pairs.at(-1);
    if (page["more"] !== true || last === undefined) return;
    from = base64(`${last.key}\0`);
  }
}

function toPair(pair: unknown): { readonly key: string; readonly value: Buffer } {
  const { key, value }: { key?: unknown; value?: unknown } = typeof pair === "object" && pair !== null ? pair : {};
  const bytes = (text: unknown): Buffer => Buffer.from(typeof text === "string" ? text : "", "base64");
  return { key: bytes(key).toString("utf8"), value: bytes(value) };
}

/** Keys of custom resources and of services have an additional folder level. */
function resourceOf(path: string): string {
  const [first = "", second] = path.split("/");
  return second !== undefined && (first.includes(".") || first === "services") ? `${first}/${second}` : first;
}

/** The number of bytes to search for the names of the provider and the key. */
const headBytes = 300;

/** Returns the provider and the key name in a value's encryption marker. */
function encryptionOf(value: Buffer): Pick<StoredValues, "provider" | "key"> {
  const head = value.subarray(0, headBytes).toString("latin1");
  const [, provider = "", key = ""] = /^k8s:enc:([a-z]+):v\d+:([^:]*):/.exec(head) ?? [];
  return { provider, key };
}
