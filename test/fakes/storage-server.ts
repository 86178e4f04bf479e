import { createHash } from "node:crypto";
import { once } from "node:events";
import { createServer, type IncomingMessage, type ServerResponse } from "node:http";
import { portOf } from "../fixtures/port-of.ts";

/**
 * Simulates Cloud Storage over real HTTP. Resumable uploads behave as documented for the JSON API, with sessions,
 * parts, received ranges and preconditions.
 */
export interface StorageServer extends AsyncDisposable {
  readonly url: string;
  /** Object contents by "bucket/name". */
  readonly objects: Map<string, Buffer>;
  /** The requests so far, for example "PUT bytes 0-8388607/9000000". */
  readonly log: string[];
  readonly token: string;
  readonly faults: {
    /** Cuts the connection after this many bytes of the next part. The server keeps the bytes that it has received. */
    cutAfter?: number | undefined;
    /** Whether the server closes the connection immediately instead of accepting a part. */
    dead: boolean;
    /** Rejects every request with this HTTP status. */
    refuse?: number | undefined;
    /** The URL to which uploads are redirected, for example "http://192.0.2.1/session". */
    elsewhere?: string;
    /** Whether the server corrupts the bytes that it stores. */
    corrupt: boolean;
  };
}

interface Session {
  readonly key: string;
  readonly total: number;
  content: Buffer;
}

export async function startStorageServer(): Promise<StorageServer> {
  const objects = new Map<string, Buffer>();
  const sessions = new Map<string, Session>();
  const log: string[] = [];
  const token = "ya29.a-secret-token";
  const faults: StorageServer["faults"] = { corrupt: false, dead: false };

  const begin = (url: URL, request: IncomingMessage, response: ServerResponse): void => {
    const key = `${url.pathname.split("/")[5] ?? ""}/${url.searchParams.get("name") ?? ""}`;
    if (objects.has(key) && url.searchParams.get("ifGenerationMatch") === "0") return answer(response, 412);
    const id = String(sessions.size + 1);
    const total = Number(request.headers["x-upload-content-length"]);
    sessions.set(id, { key, total, content: Buffer.alloc(0) });
    answer(
      response,
      200,
      {},
      { location: `${faults.elsewhere ?? `http://${request.headers.host ?? ""}/session`}/${id}` },
    );
  };
  const put = async (session: Session, request: IncomingMessage, response: ServerResponse): Promise<void> => {
    const [, from] = /^bytes (\d+)-\d+\/\d+$/.exec(request.headers["content-range"] ?? "") ?? [];
    if (from !== undefined && faults.dead) return void request.socket.destroy();
    const parts: Buffer[] = [];
    let size = 0;
    const { cutAfter } = faults;
    for await (const part of request) {
      const bytes: Buffer = part;
      const taken = bytes.subarray(0, (cutAfter ?? Infinity) - size);
      parts.push(taken);
      size += taken.length;
      if (cutAfter !== undefined && size >= cutAfter && from !== undefined) {
        session.content = Buffer.concat([session.content.subarray(0, Number(from)), ...parts]);
        faults.cutAfter = undefined;
        request.socket.destroy();
        return;
      }
    }
    if (from !== undefined) session.content = Buffer.concat([session.content.subarray(0, Number(from)), ...parts]);
    const { key, total, content } = session;
    if (content.length === total) {
      objects.set(key, faults.corrupt ? Buffer.concat([content.subarray(1), Buffer.from("X")]) : content);
      return answer(response, 200, {});
    }
    answer(response, 308, undefined, content.length === 0 ? {} : { range: `bytes=0-${content.length - 1}` });
  };
  const handle = async (request: IncomingMessage, response: ServerResponse): Promise<void> => {
    const url = new URL(request.url ?? "", "http://storage");
    const range = request.headers["content-range"];
    log.push([request.method, range].filter((word) => word !== undefined).join(" "));
    if (faults.refuse !== undefined) return answer(response, faults.refuse, { error: { message: "no access" } });
    const session = sessions.get(/^\/session\/(\d+)$/.exec(url.pathname)?.[1] ?? "");
    if (session !== undefined) return put(session, request, response);
    if (request.headers.authorization !== `Bearer ${token}`) return answer(response, 401);
    if (request.method === "POST" && url.pathname.startsWith("/upload/storage/v1/b/")) {
      return begin(url, request, response);
    }
    const [, bucket = "", name = ""] = /^\/storage\/v1\/b\/([^/]+)\/o\/(.+)$/.exec(url.pathname) ?? [];
    const object = objects.get(`${bucket}/${decodeURIComponent(name)}`);
    if (object === undefined) return answer(response, 404);
    const md5Hash = createHash("md5").update(object).digest("base64");
    answer(response, 200, { name: decodeURIComponent(name), size: String(object.length), md5Hash });
  };
  const server = createServer((request, response) => {
    handle(request, response).catch(() => request.socket.destroy());
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  const port = portOf(server);
  return {
    url: `http://127.0.0.1:${port}`,
    objects,
    log,
    token,
    faults,
    [Symbol.asyncDispose]: async () => {
      server.closeAllConnections();
      server.close();
      await once(server, "close");
    },
  };
}

function answer(
  response: ServerResponse,
  status: number,
  body?: object,
  headers: Readonly<Record<string, string>> = {},
): void {
  response.writeHead(status, { "content-type": "application/json", ...headers });
  response.end(body === undefined ? "" : JSON.stringify(body));
}
