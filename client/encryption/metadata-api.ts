import { KhwError } from "../../proto/errors.ts";

/** The part of the Kubernetes API that lists and rewrites objects without returning their contents. */
export interface MetadataApi extends AsyncDisposable {
  /**
   * Returns only the objects' metadata for a list request, and the whole response for a discovery request. Does not
   * reject for an HTTP error status.
   */
  get(path: string, signal: AbortSignal): Promise<MetadataAnswer>;
  /** Sends an update without changes, so that the API server rewrites the object with the current encryption. */
  touch(path: string, signal: AbortSignal): Promise<MetadataAnswer>;
}

export interface MetadataAnswer {
  readonly status: number;
  /** Parsed JSON; undefined for any other text. */
  readonly body: unknown;
}

export interface MetadataApiOptions {
  /** The API server's URL, for example "https://192.0.2.9:6443". */
  readonly server: string;
  /** The CA's certificate, in PEM like the next two fields. */
  readonly ca: Buffer;
  readonly certificate: Buffer;
  readonly key: Buffer;
  /** The number of connections to keep open. */
  readonly connections: number;
}

const requestMillis = 30_000;
/** Also accepts plain JSON, because discovery responses and errors have no metadata. */
const metadataOf = (kind: string): string => `application/json;as=${kind};g=meta.k8s.io;v=v1,application/json`;
const reading = { accept: metadataOf("PartialObjectMetadataList") };
const touching = { accept: metadataOf("PartialObjectMetadata"), "content-type": "application/merge-patch+json" };

/** Connects over mutual TLS. Calls fail with UNREACHABLE if there is no answer. */
export async function openMetadataApi(options: MetadataApiOptions): Promise<MetadataApi> {
  const { server, ca, certificate: cert, key, connections } = options;
  const { Agent, request } = await import("undici");
  const dispatcher = new Agent({ connect: { ca, cert, key }, connections });
  const send = async (path: string, body: string | null, signal: AbortSignal): Promise<MetadataAnswer> => {
    try {
      const answer = await request(new URL(path, server), {
        dispatcher,
        method: body === null ? "GET" : "PATCH",
        headers: body === null ? reading : touching,
        body,
        signal: AbortSignal.any([signal, AbortSignal.timeout(requestMillis)]),
      });
      return { status: answer.statusCode, body: parseAnswer(await answer.body.text()) };
    } catch (cause) {
      signal.throwIfAborted();
      const reason = cause instanceof Error ? cause.message : String(cause);
      throw new KhwError("UNREACHABLE", `${server} does not answer: ${reason}`, {
        hint: "check that the API server is running and can be reached from here",
        cause,
      });
    }
  };
  return {
    get: (path, signal) => send(path, null, signal),
    touch: (path, signal) => send(path, "{}", signal),
    [Symbol.asyncDispose]: () => dispatcher.destroy(),
  };
}

function parseAnswer(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch (error) {
    if (error instanceof SyntaxError) return undefined;
    throw error;
  }
}
