import { toKhwError } from "../../proto/errors.ts";
import type { StoredValues } from "../../proto/gen/khw/agent/v1/encryption.ts";
import type { Files } from "../os/os.ts";
import { base64, type Gateway, openGateway, unavailable } from "./gateway.ts";
import { readEtcdIdentity } from "./identity.ts";

export interface CountOptions {
  /** etcd's client URLs, asked in turn until one answers to the end. */
  readonly servers: readonly string[];
  readonly files: Pick<Files, "read">;
  /** The API server's --etcd-prefix. */
  readonly prefix: string;
  readonly signal: AbortSignal;
}

/** Few enough that a page of the largest values that etcd takes (1.5 MiB each) is no burden. */
const pageSize = 25;
const maxPageBytes = 64 * 1024 * 1024;
const pageMillis = 20_000;

/** Every value that Kubernetes keeps, counted by resource and by the key it is encrypted with. @throws KhwError NOT_READY */
export async function countStoredValues({ servers, files, prefix, signal }: CountOptions): Promise<StoredValues[]> {
  let failure = unavailable("etcd", "no state is kept that names its servers");
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
  // The first name after all that begin like the folder.
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
  /** Its beginning, which is all that tells how it is stored. */
  readonly value: string;
}

/** Longer than any provider's and key's names. */
const headBytes = 300;

function toPair(pair: unknown): Pair {
  const { key, value }: { key?: unknown; value?: unknown } = typeof pair === "object" && pair !== null ? pair : {};
  const bytes = (text: unknown): Buffer => Buffer.from(typeof text === "string" ? text : "", "base64");
  return { key: bytes(key).toString("utf8"), value: bytes(value).subarray(0, headBytes).toString("latin1") };
}

/** Groups of custom resources, and services, have a folder more. */
function resourceOf(path: string): string {
  const [first = "", second] = path.split("/");
  return second !== undefined && (first.includes(".") || first === "services") ? `${first}/${second}` : first;
}

/** As Kubernetes marks what it encrypts. */
function encryptionOf(value: string): Pick<StoredValues, "provider" | "key"> {
  const [, provider = "", key = ""] = /^k8s:enc:([a-z]+):v\d+:([^:]*):/.exec(value) ?? [];
  return { provider, key };
}
