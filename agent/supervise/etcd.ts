import { request } from "node:https";
import { isIP } from "node:net";
import { KhwError } from "../../proto/errors.ts";
import { show } from "../../proto/validate.ts";
import { deadline } from "../os/deadline.ts";
import type { Files } from "../os/os.ts";
import { credentialFile } from "../paths.ts";

/** A key that is there for as long as it is held, by one holder at a time. */
export interface HeldKey {
  keepAlive(): Promise<void>;
  release(): Promise<void>;
}

export interface Etcd {
  /** @throws KhwError BUSY naming the holder; NOT_READY when this server cannot be asked. */
  hold(
    server: string,
    options: {
      readonly key: string;
      /** Who holds it: whoever finds himself there takes it over, for he has begun anew. */
      readonly value: string;
      readonly ttlSeconds: number;
      readonly signal: AbortSignal;
    },
  ): Promise<HeldKey>;
}

const callMillis = 3_000;
const maxAnswerBytes = 65_536;

/** The cluster's etcd by the JSON gateway of its v3 API, with the API server's own certificate. */
export function createEtcd(files: Pick<Files, "read">): Etcd {
  return {
    hold: async (server, { key, value, ttlSeconds, signal }) => {
      const post = await openPost(server, files);
      const { ID: lease } = await post("/v3/lease/grant", { TTL: ttlSeconds }, signal);
      const own = { key: base64(key), value: base64(value) };
      const release = async (): Promise<void> => {
        await post("/v3/lease/revoke", { ID: lease }, AbortSignal.timeout(callMillis));
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
        throw new KhwError("BUSY", `${holderIn(first)} restarts its API server`, {
          hint: "wait for that to end, then run the command again",
        });
      }
      return {
        keepAlive: async () => void (await post("/v3/lease/keepalive", { ID: lease }, AbortSignal.timeout(callMillis))),
        release,
      };
    },
  };
}

type Answer = Readonly<Record<string, unknown>>;
type Post = (path: string, body: unknown, signal: AbortSignal) => Promise<Answer>;

async function openPost(server: string, files: Pick<Files, "read">): Promise<Post> {
  const [ca, cert, key] = await Promise.all(
    (["ca.pem", "kubernetes.pem", "kubernetes-key.pem"] as const).map((name) => files.read(credentialFile(name))),
  );
  if (ca === undefined || cert === undefined || key === undefined) {
    throw unavailable(server, "the certificates to ask it with are not there");
  }
  return async (path, body, signal) => {
    using limit = deadline(signal, callMillis, () => unavailable(server, `no answer within ${callMillis / 1000} s`));
    const url = new URL(path, server);
    const servername = isIP(url.hostname) === 0 ? url.hostname : "";
    const options = { method: "POST", ca, cert, key, servername, agent: false, signal: limit.signal };
    try {
      return await exchange(url, options, JSON.stringify(body));
    } catch (error) {
      limit.signal.throwIfAborted();
      throw error instanceof KhwError ? error : unavailable(server, error instanceof Error ? error.message : "?");
    }
  };
}

function exchange(url: URL, options: Parameters<typeof request>[1], body: string): Promise<Answer> {
  return new Promise((resolve, reject) => {
    const call = request(url, options, (response) => {
      let text = "";
      response.setEncoding("utf8");
      response.on("data", (chunk: string) => {
        if (text.length < maxAnswerBytes) text += chunk;
      });
      response.once("error", reject);
      response.once("end", () => {
        if (response.statusCode !== 200) {
          return reject(unavailable(url.origin, `answers ${response.statusCode} ${show(text.trim())}`));
        }
        try {
          const answer: unknown = JSON.parse(text);
          if (typeof answer !== "object" || answer === null) throw new TypeError("is no object");
          resolve({ ...answer });
        } catch {
          reject(unavailable(url.origin, `answers ${show(text)}`));
        }
      });
    });
    call.once("error", reject).end(body);
  });
}

/** Whose name stands in the key that another holds. */
function holderIn({ responses }: Answer): string {
  const value = /"value":"([A-Za-z0-9+/=]+)"/.exec(JSON.stringify(responses ?? ""))?.[1];
  return value === undefined ? "another controller" : Buffer.from(value, "base64").toString("utf8");
}

function base64(text: string): string {
  return Buffer.from(text).toString("base64");
}

function unavailable(server: string, why: string): KhwError {
  return new KhwError("NOT_READY", `${server}: ${why}`, { hint: "see `systemctl status etcd` on the controllers" });
}
