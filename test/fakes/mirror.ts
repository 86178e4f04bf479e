/** Provides release mirrors and other servers on loopback. Tests choose how the servers misbehave. */
import { createHash, randomBytes } from "node:crypto";
import { mkdtemp, rm } from "node:fs/promises";
import { createServer, type IncomingMessage, type RequestListener, type ServerResponse } from "node:http";
import { createServer as createTlsServer } from "node:https";
import type { Server, Socket } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { Test } from "tap";
import { issueFor } from "./tls.ts";

/** The contents of the file that every mirror serves. */
export const content = randomBytes(3_000_000);
export const sha256 = createHash("sha256").update(content).digest("hex");
export const etag = '"one"';

/** Creates a folder that is deleted when the test ends. */
export async function temporaryFolder(t: Test): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), "khw-downloads-"));
  t.teardown(() => rm(folder, { recursive: true, force: true }));
  return folder;
}

/** Lets the server listen on loopback until the test ends. Returns the server's port. */
export async function listening(t: Test, server: Server, address = "127.0.0.1"): Promise<number> {
  server.listen(0, address);
  await new Promise((resolve) => server.once("listening", resolve));
  const sockets = new Set<Socket>();
  server.on("connection", (socket: Socket) => sockets.add(socket));
  t.teardown(() => {
    server.close();
    for (const socket of sockets) socket.destroy();
  });
  const bound = server.address();
  if (typeof bound !== "object" || bound === null) throw new Error("the server listens on no port");
  return bound.port;
}

export interface Mirror {
  readonly url: string;
  readonly requests: IncomingMessage[];
}

/** Starts an HTTP mirror. The given function answers each request; `n` is the number of the request, starting at 1. */
export async function mirror(
  t: Test,
  answer: (request: IncomingMessage, response: ServerResponse, n: number) => void,
): Promise<Mirror> {
  const requests: IncomingMessage[] = [];
  const handle: RequestListener = (request, response) => {
    requests.push(request);
    answer(request, response, requests.length);
  };
  return { url: `http://127.0.0.1:${await listening(t, createServer(handle))}/release`, requests };
}

/** Answers like a correct mirror, with support for ranges, validators and lengths. */
export function good(request: IncomingMessage, response: ServerResponse): void {
  send(content, request, response);
}

/** Answers like a correct mirror that serves a file with these bytes. */
export function send(bytes: Buffer, request: IncomingMessage, response: ServerResponse): void {
  const from = Number(/^bytes=(\d+)-$/.exec(request.headers.range ?? "")?.[1] ?? 0);
  const partial = from > 0 && request.headers["if-range"] === etag;
  const body = partial ? bytes.subarray(from) : bytes;
  response.writeHead(partial ? 206 : 200, {
    etag,
    "content-length": body.length,
    ...(partial && { "content-range": `bytes ${from}-${bytes.length - 1}/${bytes.length}` }),
  });
  response.end(body);
}

/** Announces the full length, sends the given number of bytes, and then calls `then`. */
export function begin(response: ServerResponse, bytes: number, then: () => void, headers: object = { etag }): void {
  response.writeHead(200, { "content-length": content.length, ...headers });
  response.write(content.subarray(0, bytes), then);
}

export interface TlsMirror extends Mirror {
  readonly caPem: string;
}

/** Creates a key and a self-signed certificate for 127.0.0.1. Clients can use the certificate as their CA. */
export async function selfSigned(t: Test): Promise<{ readonly key: string; readonly cert: string }> {
  return issueFor(await temporaryFolder(t), "IP:127.0.0.1");
}

/** Starts a mirror that uses TLS 1.2, the newest version that some third-party servers support. */
export async function tlsMirror(t: Test, answer: RequestListener): Promise<TlsMirror> {
  const { key, cert } = await selfSigned(t);
  const requests: IncomingMessage[] = [];
  const server = createTlsServer({ key, cert, maxVersion: "TLSv1.2" }, (request, response) => {
    requests.push(request);
    answer(request, response);
  });
  return { url: `https://127.0.0.1:${await listening(t, server)}/release`, requests, caPem: cert };
}
