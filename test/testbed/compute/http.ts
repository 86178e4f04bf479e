import { createServer, type IncomingMessage, type Server, type ServerResponse } from "node:http";
import { text } from "node:stream/consumers";
import { batchAnswer, batchParts } from "./batch.ts";
import type { Emulator, IncomingRequest, Outgoing } from "./emulator.ts";
import { ApiError } from "./errors.ts";

/**
 * Creates the API's HTTP server. It serves `/compute/v1/projects/...`, and `/batch/compute/v1` for gcloud. The server
 * is not listening yet.
 */
export function createApiServer(emulator: Emulator): Server {
  return createServer((request, response) => {
    serve(request, response, emulator).catch((error: unknown) => {
      console.error(error);
      if (!response.headersSent) send(response, { status: 500, headers: {}, body: bug(error).toBody() });
    });
  });
}

async function serve(request: IncomingMessage, response: ServerResponse, emulator: Emulator): Promise<void> {
  const gone = new AbortController();
  response.once("close", () => gone.abort());
  const { authorization } = request.headers;
  const incoming = (method: string, target: string, body: string): IncomingRequest | undefined => {
    const { pathname, searchParams } = new URL(target, "http://emulator");
    const path = /^\/compute\/v1\/(.+)$/.exec(pathname)?.[1];
    if (path === undefined) return undefined;
    return { method, path: decodeURIComponent(path), query: searchParams, body, authorization, signal: gone.signal };
  };

  const { method = "GET", url = "/" } = request;
  const body = await text(request);
  const answer = async (one: IncomingRequest | undefined): Promise<Outgoing> =>
    one ? emulator.answer(one) : { status: 404, headers: {}, body: noSuchUrl().toBody() };

  if (method !== "POST" || !url.startsWith("/batch/compute/v1")) {
    send(response, await answer(incoming(method, url, body)));
    return;
  }
  const parts = batchParts(body, request.headers["content-type"] ?? "");
  const answers = await Promise.all(
    parts.map(async (part) => ({ id: part.id, outgoing: await answer(incoming(part.method, part.target, part.body)) })),
  );
  const { contentType, content } = batchAnswer(answers);
  response.writeHead(200, { "content-type": contentType }).end(content);
}

function send(response: ServerResponse, outgoing: Outgoing): void {
  if (outgoing === "cut") {
    response.destroy();
    return;
  }
  const headers = { ...outgoing.headers, "content-type": "application/json; charset=UTF-8" };
  response.writeHead(outgoing.status, headers).end(JSON.stringify(outgoing.body, undefined, 2));
}

function noSuchUrl(): ApiError {
  return new ApiError(404, "notFound", "The requested URL was not found on this server.");
}

function bug(error: unknown): ApiError {
  return new ApiError(500, "internalError", `A bug in the emulator: ${String(error)}`);
}
