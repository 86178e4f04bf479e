import { request } from "node:https";
import { isIP } from "node:net";
import { KhwError } from "../../proto/errors.ts";
import { show } from "../../proto/validate.ts";
import { deadline } from "../os/deadline.ts";
import { failureOf } from "../os/failure.ts";

/** An etcd server, through the JSON gateway of its v3 API. Streams are not supported. */
export interface Gateway {
  /**
   * Returns the answer's object; 64-bit numbers are decimal strings, bytes are Base64.
   * @param path for example "/v3/kv/range"
   * @throws KhwError NOT_READY if the server cannot be reached, or refuses; CREDENTIAL_INVALID if a server answers
   * and TLS fails: that server is alive, and its state is unknown
   */
  readonly post: (path: string, body: unknown, signal: AbortSignal) => Promise<GatewayAnswer>;
}

export type GatewayAnswer = Readonly<Record<string, unknown>>;

/** The client identity for etcd, as PEM. */
export interface GatewayIdentity {
  readonly ca: Buffer | string;
  readonly cert: Buffer | string;
  readonly key: Buffer | string;
}

export interface GatewayOptions {
  /** The time limit of each call; 3 s by default. */
  readonly callMillis?: number;
  /** The largest answer; 1 MiB by default. */
  readonly maxAnswerBytes?: number;
}

/** @param server its client URL, for example "https://10.240.0.10:2379" */
export function openGateway(server: string, identity: GatewayIdentity, options: GatewayOptions = {}): Gateway {
  const { callMillis = 3_000, maxAnswerBytes = 1_048_576 } = options;
  return {
    post: async (path, body, signal) => {
      using limit = deadline(signal, callMillis, () => unavailable(server, `no answer within ${callMillis / 1000} s`));
      const url = new URL(path, server);
      const servername = isIP(url.hostname) === 0 ? url.hostname : "";
      const call = { method: "POST", ...identity, servername, agent: false, signal: limit.signal };
      try {
        return await exchange(url, call, { body: JSON.stringify(body), maxAnswerBytes });
      } catch (error) {
        limit.signal.throwIfAborted();
        throw error instanceof KhwError ? error : unavailable(server, error instanceof Error ? error.message : "?");
      }
    },
  };
}

/** Encodes bytes for the gateway. */
export function base64(text: string): string {
  return Buffer.from(text).toString("base64");
}

export function unavailable(server: string, why: string): KhwError {
  return new KhwError("NOT_READY", `${server}: ${why}`, { hint: "see `systemctl status etcd` on the controllers" });
}

function exchange(
  url: URL,
  options: Parameters<typeof request>[1],
  { body, maxAnswerBytes }: { readonly body: string; readonly maxAnswerBytes: number },
): Promise<GatewayAnswer> {
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
          if (typeof answer !== "object" || answer === null) throw new TypeError("is not an object");
          resolve({ ...answer });
        } catch {
          reject(unavailable(url.origin, `answers ${show(text)}`));
        }
      });
    });
    call.once("error", (error) => reject(tlsFailure(url.origin, error, call.socket) ?? error)).end(body);
  });
}

/** Returns undefined if the error is not about certificates. */
function tlsFailure(server: string, error: Error, socket: unknown): KhwError | undefined {
  const failure = failureOf(error, socket);
  if (failure !== "unverified" && failure !== "rejected") return undefined;
  const what = failure === "unverified" ? "its certificate cannot be verified" : "it does not accept the certificate";
  return new KhwError("CREDENTIAL_INVALID", `${server}: ${what}: ${error.message}`, {
    hint: "run `khw-client doctor`, which names the certificate, and check the machine's clock",
    cause: error,
  });
}
