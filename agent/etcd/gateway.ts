import type { ClientRequest } from "node:http";
import { isIP } from "node:net";
import { KhwError } from "../../proto/errors.ts";
import { show } from "../../proto/validate.ts";
import { deadline } from "../os/deadline.ts";
import { type HttpAnswer, openRequest, readAnswer } from "../os/exchange.ts";
import { failureOf } from "../os/failure.ts";

/** Access to an etcd server through the JSON gateway of its v3 API. Streams are not supported. */
export interface Gateway {
  /**
   * Returns the response object; 64-bit numbers are decimal strings, bytes are Base64.
   * @param path for example "/v3/kv/range"
   * @throws KhwError NOT_READY if the server cannot be reached or refuses the request; CREDENTIAL_INVALID if TLS fails,
   * which means that the server is running but its state is unknown
   */
  readonly post: (path: string, body: unknown, signal: AbortSignal) => Promise<GatewayAnswer>;
}

export type GatewayAnswer = Readonly<Record<string, unknown>>;

/** The client identity for etcd, in PEM. */
export interface GatewayIdentity {
  readonly ca: Buffer | string;
  readonly cert: Buffer | string;
  readonly key: Buffer | string;
}

export interface GatewayOptions {
  /** The time limit for each call; 3 s by default. */
  readonly callMillis?: number;
  /** The maximum size of a response; 1 MiB by default. */
  readonly maxAnswerBytes?: number;
}

/** @param server the server's client URL, for example "https://10.240.0.10:2379" */
export function openGateway(server: string, identity: GatewayIdentity, options: GatewayOptions = {}): Gateway {
  const { callMillis = 3_000, maxAnswerBytes = 1_048_576 } = options;
  return {
    post: async (path, body, signal) => {
      using limit = deadline(signal, callMillis, () =>
        etcdUnavailable(server, `no answer within ${callMillis / 1000} s`),
      );
      const url = new URL(path, server);
      const servername = isIP(url.hostname) === 0 ? url.hostname : "";
      let call: ClientRequest | undefined;
      try {
        call = openRequest(url, { method: "POST", signal: limit.signal, tls: { ...identity, servername } });
        return parseAnswer(server, await readAnswer(call, { body: JSON.stringify(body), maxBytes: maxAnswerBytes }));
      } catch (error) {
        limit.signal.throwIfAborted();
        if (error instanceof KhwError) throw error;
        throw tlsFailure(url.origin, error, call?.socket) ?? etcdUnavailable(server, messageOf(error));
      }
    },
  };
}

/** Encodes text for the gateway, which expects Base64. */
export function base64(text: string): string {
  return Buffer.from(text).toString("base64");
}

export function etcdUnavailable(server: string, why: string): KhwError {
  return new KhwError("NOT_READY", `${server}: ${why}`, { hint: "see `systemctl status etcd` on the controllers" });
}

function parseAnswer(server: string, { status, body }: HttpAnswer): GatewayAnswer {
  const text = body.toString("utf8");
  if (status !== 200) throw etcdUnavailable(server, `answered ${status} ${show(text.trim())}`);
  try {
    const answer: unknown = JSON.parse(text);
    if (typeof answer !== "object" || answer === null) throw new TypeError("is not an object");
    return { ...answer };
  } catch {
    throw etcdUnavailable(server, `answered ${show(text)}`);
  }
}

function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : "?";
}

/** Returns the error for a failed TLS handshake; undefined if the cause has nothing to do with TLS. */
function tlsFailure(server: string, error: unknown, socket: unknown): KhwError | undefined {
  const failure = failureOf(error, socket);
  if (failure !== "unverified" && failure !== "rejected") return undefined;
  const what = failure === "unverified" ? "its certificate cannot be verified" : "it does not accept the certificate";
  return new KhwError("CREDENTIAL_INVALID", `${server}: ${what}: ${messageOf(error)}`, {
    hint: "run `khw-client doctor`, which identifies the certificate, and check the machine's clock",
    cause: error,
  });
}
