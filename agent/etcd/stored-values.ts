import { toKhwError } from "../../proto/errors.ts";
import type { StoredValues } from "../../proto/gen/khw/agent/v1/encryption.ts";
import type { Files } from "../os/files.ts";
import { base64, type Gateway, openGateway, etcdUnavailable } from "./gateway.ts";
import { readEtcdIdentity } from "./identity.ts";

export interface CountOptions {
  /** etcd's client URLs, tried in turn until a server has answered all requests. */
  readonly servers: readonly string[];
  readonly files: Pick<Files, "read">;
  /** The API server's --etcd-prefix. */
  readonly prefix: string;
  readonly signal: AbortSignal;
}

/** Small enough that a page of the largest values that etcd accepts (1.5 MiB each) fits in memory. */
const pageSize = 25;
const maxPageBytes = 64 * 1024 * 1024;
const pageMillis = 20_000;

/**
 * Counts all values that Kubernetes stores, by resource and by encryption key.
 * @throws KhwError NOT_READY
 */
export async function countStoredValues({ servers, files, prefix, signal }: CountOptions): Promise<StoredValues[]> {
  let failure = etcdUnavailable("etcd", "no desired state lists the etcd servers");
  for (const server of servers) {
    try {
      const identity = await readEtcdIdentity(server, files);
      const gateway = openGateway(server, identity, { callMillis: pageMillis, maxAnswerBytes: maxPageBytes });
      return await count(gateway, prefix, signal);
    } catch (error) {
      signal.throwIfAborted();
      failure = toKhwError(error);
    }
  }
  throw failure;
}

async function count({ post }: Gateway, prefix: string, signal: AbortSignal): Promise<StoredValues[]> {
  const groups = new Map<string, StoredValues>();
  const folder = `${prefix.replace(/\/+$/, "")}/`;
  // The first key after all keys with the folder's prefix.
  const end = base64(`${folder.slice(0, -1)}0`);
  let from = base64(folder);
  for (;;) {
    const page = await post("/v3/kv/range", { key: from, range_end: end, limit: pageSize }, signal);
    const values = Array.isArray(page["kvs"]) ? page["kvs"].map(toPair) : [];
    for (const { key, value } of values) {
      const stored = { resource: resourceOf(key.slice(folder.length)), ...encryptionOf(value) };
      const name = [stored.resource, stored.provider, stored.key].join("\0");
      groups.set(name, { ...stored, count: (groups.get(name)?.count ?? 0) + 1 });
    }
    const last = values.at(-1);
    if (page["more"] !== true || last === undefined) return [...groups.values()];
    from = base64(`${last.key}\0`);
  }
}

interface Pair {
  readonly key: string;
  /** The beginning of the value, which shows how it is stored. */
  readonly value: string;
}

/** Longer than the name of any provider and key. */
const headBytes = 300;

function toPair(pair: unknown): Pair {
  const { key, value }: { key?: unknown; value?: unknown } = typeof pair === "object" && pair !== null ? pair : {};
  const bytes = (text: unknown): Buffer => Buffer.from(typeof text === "string" ? text : "", "base64");
  return { key: bytes(key).toString("utf8"), value: bytes(value).subarray(0, headBytes).toString("latin1") };
}

/** Groups of custom resources, and services, have an additional folder level. */
function resourceOf(path: string): string {
  const [first = "", second] = path.split("/");
  return second !== undefined && (first.includes(".") || first === "services") ? `${first}/${second}` : first;
}

/** Returns the provider and key of Kubernetes' encryption marker. */
function encryptionOf(value: string): Pick<StoredValues, "provider" | "key"> {
  const [, provider = "", key = ""] = /^k8s:enc:([a-z]+):v\d+:([^:]*):/.exec(value) ?? [];
  return { provider, key };
}
