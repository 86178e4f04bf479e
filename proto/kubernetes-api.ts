import type { ClientRequest, IncomingMessage } from "node:http";
import { Agent, request } from "node:https";
import { createSecureContext } from "node:tls";
import { KhwError } from "./errors.ts";

export interface KubernetesApiOptions {
  /** For example "https://127.0.0.1:6443". */
  readonly server: string;
  /**
   * The cluster's CA in PEM. `certificate` and `key` belong to the caller, and are also in PEM. They are needed only if
   * the requests need an identity.
   */
  readonly ca: Uint8Array;
  readonly certificate?: Uint8Array;
  readonly key?: Uint8Array;
  /** A bearer token, which identifies the caller instead of a certificate. */
  readonly token?: string;
  /** The name for which the server's certificate must be valid. Default: the name in `server`. */
  readonly servername?: string;
  /** The time limit for each request. */
  readonly timeoutMillis: number;
}

export interface KubernetesAnswer {
  readonly status: number;
  readonly body: unknown;
}

export interface KubernetesRequest {
  readonly signal: AbortSignal;
  readonly body?: unknown;
  /** Whether a PATCH takes over fields that have other managers. Default: true. */
  readonly force?: boolean;
  /** Whether the API server only returns the result of a PATCH, without storing it. Default: false. */
  readonly dryRun?: boolean;
}

/** Sends a request to an API server. */
export type KubernetesApi = (
  method: "GET" | "PATCH" | "POST" | "PUT" | "DELETE",
  path: string,
  options: KubernetesRequest,
) => Promise<KubernetesAnswer>;

/** Reads text of any length from an API server, line by line. Any status other than 200 is an error. */
export type KubernetesLines = (path: string, options: { readonly signal: AbortSignal }) => AsyncIterable<string>;

const maxAnswerBytes = 4 * 1024 * 1024;

/**
 * Creates a small client for the Kubernetes API with mutual TLS. A PATCH is sent as a server-side apply with the field
 * manager "khw", and is forced by default. A response counts as a success, whatever its HTTP status.
 * @throws KhwError UNREACHABLE if there is no response; CREDENTIAL_INVALID, before any request, if the certificate and
 * the key are not a matching pair in PEM
 */
export function createKubernetesApi(options: KubernetesApiOptions): KubernetesApi {
  const { server, token, servername } = options;
  const agent = agentFor(options);
  return (method, path, { signal, body, force = true, dryRun = false }) =>
    new Promise((resolve, reject) => {
      const fail = (cause: Error): void => reject(unreachable(server, cause));
      const outgoing = request(
        new URL(
          method === "PATCH" ? `${path}?fieldManager=khw&force=${force}${dryRun ? "&dryRun=All" : ""}` : path,
          server,
        ),
        {
          method,
          agent,
          headers: {
            accept: "application/json",
            ...(method === "PATCH" ? { "content-type": "application/apply-patch+yaml" } : {}),
            ...(method !== "PATCH" && body !== undefined ? { "content-type": "application/json" } : {}),
            ...(token === undefined ? {} : { authorization: `Bearer ${token}` }),
          },
          ...(servername === undefined ? {} : { servername }),
          signal: AbortSignal.any([signal, AbortSignal.timeout(options.timeoutMillis)]),
        },
        (incoming) => {
          const chunks: Buffer[] = [];
          let bytes = 0;
          incoming.on("data", (chunk: Buffer) => {
            bytes += chunk.length;
            if (bytes > maxAnswerBytes)
              outgoing.destroy(new Error(`the response is longer than ${maxAnswerBytes} bytes`));
            else chunks.push(chunk);
          });
          incoming.on("error", fail);
          incoming.on("end", () =>
            resolve({ status: incoming.statusCode ?? 0, body: parseBody(Buffer.concat(chunks)) }),
          );
        },
      );
      outgoing.on("error", fail);
      outgoing.end(body === undefined ? undefined : JSON.stringify(body));
    });
}

/**
 * Creates a reader for long text, such as metrics. The reader keeps only one line in memory at a time.
 * @throws KhwError the errors of createKubernetesApi; VERIFY_FAILED for any status other than 200
 */
export function createKubernetesLines(options: KubernetesApiOptions): KubernetesLines {
  const { server, timeoutMillis } = options;
  const agent = agentFor(options);
  return async function* (path, { signal }) {
    const limit = AbortSignal.any([signal, AbortSignal.timeout(timeoutMillis)]);
    const outgoing = request(new URL(path, server), { agent, signal: limit }).end();
    try {
      const incoming = await answerOf(outgoing);
      if (incoming.statusCode !== 200) {
        throw new KhwError("VERIFY_FAILED", `the API server answers ${incoming.statusCode ?? 0} to GET ${path}`, {
          hint: "use a kubeconfig whose user is in the group system:masters",
        });
      }
      yield* linesOf(incoming.setEncoding("utf8"));
    } catch (error) {
      if (error instanceof KhwError) throw error;
      throw unreachable(server, error);
    } finally {
      outgoing.destroy();
    }
  };
}

/**
 * Splits text into lines. node:readline cannot be used, because it does not report that its input was cut off. Half a
 * response would look complete.
 */
async function* linesOf(chunks: AsyncIterable<string>): AsyncGenerator<string> {
  let rest = "";
  for await (const chunk of chunks) {
    const lines = `${rest}${chunk}`.split("\n");
    rest = lines.pop() ?? "";
    if (rest.length > maxAnswerBytes) throw new Error(`a line is longer than ${maxAnswerBytes} bytes`);
    yield* lines;
  }
  if (rest !== "") yield rest;
}

function answerOf(outgoing: ClientRequest): Promise<IncomingMessage> {
  return new Promise((resolve, reject) => {
    outgoing.on("response", resolve);
    outgoing.on("error", reject);
  });
}

function unreachable(server: string, cause: unknown): KhwError {
  const reason = cause instanceof Error ? cause.message : String(cause);
  return new KhwError("UNREACHABLE", `${server} does not answer: ${reason}`, {
    hint: "check that the API server is running and reachable from here",
    cause,
  });
}

/**
 * Returns an HTTPS agent that opens a new connection for each request and resumes no TLS session, so that each request
 * checks the server's certificate. Decodes the certificates once.
 * @throws KhwError CREDENTIAL_INVALID
 */
function agentFor({ ca, certificate, key }: KubernetesApiOptions): Agent {
  try {
    const secureContext = createSecureContext({
      ca: Buffer.from(ca),
      ...(certificate === undefined ? {} : { cert: Buffer.from(certificate) }),
      ...(key === undefined ? {} : { key: Buffer.from(key) }),
    });
    return new Agent({ secureContext, keepAlive: false, maxCachedSessions: 0 });
  } catch (cause) {
    throw new KhwError(
      "CREDENTIAL_INVALID",
      "the certificate and key for the API server are not a matching pair in PEM",
      {
        hint: "use a certificate together with its private key, as in an admin kubeconfig",
        cause,
      },
    );
  }
}

/** Parses a body as JSON, the format of every Kubernetes object. Returns any other content as text. */
function parseBody(bytes: Buffer): unknown {
  const text = bytes.toString("utf8");
  try {
    return JSON.parse(text);
  } catch (error) {
    if (error instanceof SyntaxError) return text;
    throw error;
  }
}
