/** Runs a testbed server. It records all requests, and answers them unless a fault applies. */
import { once } from "node:events";
import { readFile } from "node:fs/promises";
import { createServer } from "node:http";
import { createServer as createTlsServer } from "node:https";
import type { IncomingMessage, Server, ServerResponse } from "node:http";
import { join } from "node:path";
import { Readable } from "node:stream";
import { text } from "node:stream/consumers";
import { setTimeout as sleep } from "node:timers/promises";

import type { LogEntry } from "./control.ts";
import type { Answer } from "./answer.ts";
import { createFaults, disturbed, paced } from "./faults.ts";
import type { Fault } from "./faults.ts";

/** The options of a server. */
export interface ServeOptions {
  /** The address to listen on, as `ADDRESS:PORT`. */
  readonly listen: string;
  /** The Unix socket for remote control (control.ts). */
  readonly control: string;
  readonly answer: (request: IncomingMessage) => Answer | Promise<Answer>;
  /** If present, the server also serves the same files over TLS. */
  readonly tls?: TlsOptions | undefined;
}

export interface TlsOptions {
  /** The address to listen on, as `ADDRESS:PORT`. */
  readonly listen: string;
  /** The folder with the server's `kubernetes.pem` and `kubernetes-key.pem`. */
  readonly folder: string;
}

/** Serves until SIGTERM or SIGINT. Prints `ready` on standard output when the server is serving. */
export async function serve({ listen, control, answer, tls }: ServeOptions): Promise<void> {
  const faults = createFaults();
  const log: LogEntry[] = [];
  const handle = (request: IncomingMessage, response: ServerResponse): void => {
    const entry = newEntry(request);
    log.push(entry);
    respond(request, response, { fault: faults.take(entry.path), answer, entry }).catch((error: unknown) => {
      process.stderr.write(`${entry.method} ${entry.path}: ${String(error)}\n`);
      response.destroy();
    });
  };
  const servers = [{ server: createServer(handle), listen }];
  if (tls !== undefined) {
    const [cert, key] = await Promise.all(
      ["kubernetes.pem", "kubernetes-key.pem"].map((name) => readFile(join(tls.folder, name))),
    );
    servers.push({ server: createTlsServer({ cert, key }, handle), listen: tls.listen });
  }
  const controls = createControlServer({
    "PUT /faults": (body) => {
      const wanted: readonly Fault[] = JSON.parse(body);
      faults.set(wanted);
    },
    "GET /log": () => log,
    "DELETE /log": () => void log.splice(0),
  });

  await Promise.all([
    ...servers.map(({ server, listen: place }) => {
      const [, host, port] = /^(.+):(\d+)$/.exec(place) ?? [];
      return once(server.listen(Number(port), host), "listening");
    }),
    once(controls.listen(control), "listening"),
  ]);
  const stopped = Promise.race([once(process, "SIGTERM"), once(process, "SIGINT")]);
  process.stdout.write("ready\n");
  await stopped;
  for (const each of [...servers.map(({ server }) => server), controls]) {
    each.close();
    each.closeAllConnections();
  }
}

/** The command-line options that all servers have in common, for `parseArgs`. */
export const serveOptions = { listen: { type: "string" }, control: { type: "string" } } as const;

interface Response {
  readonly fault: Fault | undefined;
  readonly answer: ServeOptions["answer"];
  readonly entry: Writable<LogEntry>;
}

type Writable<T> = { -readonly [K in keyof T]: T[K] };

/** Answers a request. Records each part of the response before sending it. */
async function respond(request: IncomingMessage, response: ServerResponse, how: Response): Promise<void> {
  const { fault, entry } = how;
  if (fault?.kind === "drop") return void response.destroy();
  if (fault?.kind === "delay") {
    if (fault.millis === undefined) return;
    await sleep(fault.millis);
  }

  const answer = await how.answer(request);
  const { status, headers, body } = disturbed(answer, fault);
  if (answer.body !== body && typeof answer.body !== "string") answer.body.destroy();
  entry.status = status;
  response.writeHead(status, {
    ...headers,
    ...(typeof body === "string" && { "Content-Length": Buffer.byteLength(body) }),
  });
  const stream = typeof body === "string" ? Readable.from([Buffer.from(body)]) : body;
  if (request.method === "HEAD") {
    stream.destroy();
  } else {
    for await (const chunk of paced(stream, fault)) {
      // A caller that disconnects does not cause a server error.
      if (response.destroyed) break;
      entry.bytes += chunk.length;
      // Each write is awaited, because a cut must not discard the bytes that were sent before it.
      await new Promise<void>((written) => response.write(chunk, () => written()));
    }
  }
  if (fault?.kind === "cut") response.destroy();
  else if (fault?.kind !== "stall") response.end();
}

function newEntry(request: IncomingMessage): Writable<LogEntry> {
  return {
    at: new Date().toISOString(),
    method: request.method ?? "",
    path: request.url ?? "",
    caller: request.socket.remoteAddress ?? "",
    range: request.headers.range ?? null,
    status: null,
    bytes: 0,
  };
}

function createControlServer(handlers: Readonly<Record<string, (body: string) => unknown>>): Server {
  return createServer((request, response) => {
    const handler = handlers[`${request.method} ${request.url}`];
    const answer = async (): Promise<string> => {
      if (!handler) throw new Error(`unknown control: ${request.method} ${request.url}`);
      return JSON.stringify(handler(await text(request)) ?? null);
    };
    answer().then(
      (body) => response.end(body),
      (error: unknown) => response.writeHead(400).end(String(error)),
    );
  });
}
