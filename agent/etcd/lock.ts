import { KhwError } from "../../proto/errors.ts";
import type { EtcdServers } from "../os/os.ts";
import { type Answer, base64 } from "./gateway.ts";

/** A key that is there for as long as it is held, by one holder at a time. */
export interface HeldKey {
  keepAlive(): Promise<void>;
  release(): Promise<void>;
}

export interface EtcdLock {
  /** @throws KhwError BUSY naming the holder; NOT_READY when this server cannot be asked. */
  hold(
    server: string,
    options: {
      readonly key: string;
      /** Who holds it: whoever finds himself there takes it over, for he has begun anew. */
      readonly value: string;
      /** What whoever holds it does, for who does not get it: "restarts its API server". */
      readonly doing: string;
      readonly ttlSeconds: number;
      readonly signal: AbortSignal;
    },
  ): Promise<HeldKey>;
}

/** In the cluster's etcd, with the API server's own certificate. */
export function createEtcdLock(etcd: EtcdServers): EtcdLock {
  return {
    hold: async (server, { key, value, doing, ttlSeconds, signal }) => {
      const post = (path: string, body: unknown, until: AbortSignal): Promise<Answer> =>
        etcd.post(server, { path, body, signal: until });
      const { ID: lease } = await post("/v3/lease/grant", { TTL: ttlSeconds }, signal);
      const own = { key: base64(key), value: base64(value) };
      // Not the caller's signal: what was taken is given back also when he goes away.
      const release = async (): Promise<void> => {
        await post("/v3/lease/revoke", { ID: lease }, noSignal());
      };
      const put = [{ requestPut: { ...own, lease } }];
      const read = [{ requestRange: { key: own.key } }];
      const free = { target: "CREATE", key: own.key, createRevision: "0" };
      const mine = { target: "VALUE", ...own };
      const first = await post("/v3/kv/txn", { compare: [free], success: put, failure: read }, signal);
      const taken =
        first["succeeded"] === true ||
        (await post("/v3/kv/txn", { compare: [mine], success: put }, signal))["succeeded"] === true;
      if (!taken) {
        await release();
        throw new KhwError("BUSY", `${holderIn(first)} ${doing}`, {
          hint: "wait for that to end, then run the command again",
        });
      }
      return {
        keepAlive: async () => void (await post("/v3/lease/keepalive", { ID: lease }, new AbortController().signal)),
        release,
      };
    },
  };
}

/** Whose name stands in the key that another holds. */
function holderIn({ responses }: Answer): string {
  const value = /"value":"([A-Za-z0-9+/=]+)"/.exec(JSON.stringify(responses ?? ""))?.[1];
  return value === undefined ? "another controller" : Buffer.from(value, "base64").toString("utf8");
}

const noSignal = (): AbortSignal => new AbortController().signal;
