import { KhwError } from "../../proto/errors.ts";
import type { EtcdServers } from "../os/etcd-servers.ts";
import { type GatewayAnswer, base64 } from "./gateway.ts";

/** A key in etcd that exists only as long as its single holder keeps it alive. */
export interface Lease {
  keepAlive(): Promise<void>;
  release(): Promise<void>;
}

export interface EtcdLock {
  /** @throws KhwError BUSY, with the holder's name; NOT_READY if the server cannot be reached */
  acquire(
    server: string,
    options: {
      readonly key: string;
      /** The holder's name. If the key already contains this name, the holder has restarted and takes over the key. */
      readonly value: string;
      /**
       * A description of the holder's work for error messages on other machines, for example "is restarting its API
       * server".
       */
      readonly doing: string;
      readonly ttlSeconds: number;
      readonly signal: AbortSignal;
    },
  ): Promise<Lease>;
}

/** Creates locks in the cluster's etcd, with the API server's certificate. */
export function createEtcdLock(etcd: EtcdServers): EtcdLock {
  return {
    acquire: async (server, { key, value, doing, ttlSeconds, signal }) => {
      const post = (path: string, body: unknown, until: AbortSignal): Promise<GatewayAnswer> =>
        etcd.post(server, { path, body, signal: until });
      const { ID: lease } = await post("/v3/lease/grant", { TTL: ttlSeconds }, signal);
      const own = { key: base64(key), value: base64(value) };
      // Ignores the caller's signal, because the lease must be released even if the caller is gone.
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
          hint: "wait until it has finished, then run the command again",
        });
      }
      return {
        keepAlive: async () => void (await post("/v3/lease/keepalive", { ID: lease }, new AbortController().signal)),
        release,
      };
    },
  };
}

/** Returns the name of the controller that holds the lock; "another controller" if the response contains no name. */
function holderIn({ responses }: GatewayAnswer): string {
  const value = /"value":"([A-Za-z0-9+/=]+)"/.exec(JSON.stringify(responses ?? ""))?.[1];
  return value === undefined ? "another controller" : Buffer.from(value, "base64").toString("utf8");
}

const noSignal = (): AbortSignal => new AbortController().signal;
