import { createServer, type Server } from "node:http";
import { text } from "node:stream/consumers";
import type { DataPlaneState, Settings, StateChange } from "./control.ts";
import type { Emulator } from "./emulator.ts";
import { ApiError } from "./errors.ts";
import type { Fault } from "./faults.ts";

type Handler = (body: string) => unknown;

/** Creates the server for the client in control.ts. The server uses a Unix socket and is not listening yet. */
export function createControlServer(emulator: Emulator, dataPlane: () => DataPlaneState): Server {
  const handlers: Readonly<Record<string, Handler>> = {
    "GET /faults": () => emulator.faults.list(),
    "PUT /faults": (body) => {
      const faults: Fault[] = JSON.parse(body);
      emulator.faults.set(faults);
    },
    "GET /log": () => emulator.log,
    "DELETE /log": () => emulator.log.splice(0),
    "GET /state": () => ({ resources: emulator.state(), ...dataPlane() }),
    "PUT /state": (body) => {
      const change: StateChange = JSON.parse(body);
      emulator.change(change);
    },
    "PUT /settings": (body) => {
      const settings: Partial<Settings> = JSON.parse(body);
      return emulator.configure(settings);
    },
    "GET /mutations": () => ({ count: emulator.operations.count }),
  };
  return createServer((request, response) => {
    const handler = handlers[`${request.method} ${request.url}`];
    const answer = async () => {
      if (!handler) throw new ApiError(404, "notFound", `no path ${request.method} ${request.url}`);
      return handler(await text(request)) ?? {};
    };
    answer().then(
      (body) => response.end(JSON.stringify(body)),
      (error: unknown) => response.writeHead(error instanceof ApiError ? error.status : 400).end(String(error)),
    );
  });
}
