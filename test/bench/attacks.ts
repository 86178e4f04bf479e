/** Attacks an agent with clients that violate the protocol. */
import { once } from "node:events";
import { connect as connectTcp, type Socket } from "node:net";
import { setTimeout as delay } from "node:timers/promises";
import { connect as connectTls } from "node:tls";
import type { Identity } from "../../client/pki/management/issue.ts";

export interface Target {
  readonly host: string;
  /** The name in the agent's certificate. */
  readonly name: string;
  readonly port: number;
  readonly viewer: Identity;
}

export interface Attack {
  readonly name: string;
  /** Attacks the target. Adds to `held` all sockets that stay open. */
  run(target: Target, held: Socket[]): Promise<void>;
}

// The HTTP/2 frames are built by hand, because a normal HTTP/2 client reads responses and obeys the protocol.
const preface = Buffer.concat([Buffer.from("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"), frame(4, 0, 0)]);
const literal = (key: string, value: string): Buffer =>
  Buffer.concat([Buffer.from([0, key.length]), Buffer.from(key), Buffer.from([value.length]), Buffer.from(value)]);

function frame(type: number, flags: number, stream: number, payload: Buffer = Buffer.alloc(0)): Buffer {
  const header = Buffer.alloc(9);
  header.writeUIntBE(payload.length, 0, 3);
  header.set([type, flags], 3);
  header.writeUInt32BE(stream, 5);
  return Buffer.concat([header, payload]);
}

interface Calls {
  readonly method: string;
  readonly count: number;
  /** Whether the attacker resets each call immediately. */
  readonly reset?: boolean;
}

function calls({ name }: Target, { method, count, reset = false }: Calls): Buffer {
  const pairs = [literal(":path", `/khw.agent.v1.AgentService/${method}`), literal(":authority", name)];
  const rest = [literal("content-type", "application/grpc"), literal("te", "trailers")];
  const headers = Buffer.concat([Buffer.from([0x83, 0x87]), ...pairs, ...rest]);
  return Buffer.concat(
    Array.from({ length: count }, (_, index) => {
      const stream = 2 * index + 1;
      const last = reset ? frame(3, 0, stream, Buffer.from([0, 0, 0, 8])) : frame(0, 1, stream, Buffer.alloc(5));
      return Buffer.concat([frame(1, 4, stream, headers), last]);
    }),
  );
}

/**
 * Opens a connection and never reads from it. Resolves when the handshake has completed or failed, or after two
 * seconds.
 */
async function dial({ host, name, port }: Target, held: Socket[], identity?: Identity): Promise<Socket> {
  const tls = { rejectUnauthorized: false, ALPNProtocols: ["h2"], servername: name };
  const key = identity === undefined ? {} : { cert: identity.certificate, key: identity.key };
  const socket = connectTls({ port, host, ...tls, ...key });
  held.push(socket);
  socket.on("error", () => socket.destroy()).pause();
  await Promise.race([once(socket, "secureConnect"), once(socket, "close"), delay(2_000)]).catch(() => undefined);
  return socket;
}

export const attacks: readonly Attack[] = [
  {
    name: "20 strangers, 1,000 calls each, disconnect without reading the responses",
    run: async (target, held) => {
      for (let count = 0; count < 20; count++) {
        const socket = await dial(target, held);
        socket.write(Buffer.concat([preface, calls(target, { method: "GetInfo", count: 1_000 })]));
        await delay(50);
        socket.destroy();
      }
    },
  },
  {
    name: "200 strangers, 100 calls each, stay connected without reading the responses",
    run: async (target, held) => {
      for (let count = 0; count < 200; count++) {
        const socket = await dial(target, held);
        socket.write(Buffer.concat([preface, calls(target, { method: "GetInfo", count: 100 })]));
      }
    },
  },
  {
    name: "500 connections that never send a byte",
    run: async ({ host, port }, held) => {
      for (let count = 0; count < 500; count++) {
        const socket = connectTcp(port, host).on("error", () => undefined);
        held.push(socket);
        await Promise.race([once(socket, "connect"), delay(1_000)]);
      }
    },
  },
  {
    name: "a viewer, 10,000 watchers on one connection",
    run: async (target, held) => {
      const socket = await dial(target, held, target.viewer);
      socket.write(Buffer.concat([preface, calls(target, { method: "WatchStatus", count: 10_000 })]));
    },
  },
  {
    name: "a viewer, 20,000 calls that are reset at once",
    run: async (target, held) => {
      const socket = await dial(target, held, target.viewer);
      socket.write(Buffer.concat([preface, calls(target, { method: "GetPlan", count: 20_000, reset: true })]));
    },
  },
  {
    name: "a viewer, 100 connections, 100 calls each, stays connected without reading the responses",
    run: async (target, held) => {
      for (let count = 0; count < 100; count++) {
        const socket = await dial(target, held, target.viewer);
        socket.write(Buffer.concat([preface, calls(target, { method: "GetStatus", count: 100 })]));
      }
    },
  },
];
