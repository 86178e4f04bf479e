import { constants } from "node:crypto";
import { once } from "node:events";
import { readFile } from "node:fs/promises";
import { createServer as createTcpServer, type Server as TcpServer, type Socket } from "node:net";
import { createServer, type SecureContextOptions, type TLSSocket } from "node:tls";
import { type Server, ServerCredentials } from "@grpc/grpc-js";
import { KhwError, toKhwError } from "../../proto/errors.ts";
import { encodeRefusal } from "../../proto/refusal.ts";
import { authenticate } from "./authenticate.ts";
import { limitConnections } from "./connection-limits.ts";
import { countRefusedPeers } from "./refused-peers.ts";
import type { IdentityPaths } from "../certificates/next.ts";

export interface ListenerOptions {
  readonly host: string;
  readonly port: number;
  readonly log: (line: string) => void;
}

/** The server for new connections, and its TLS identity (PEM). */
export interface Admission {
  readonly server: Server;
  readonly ca: string | Buffer;
  readonly certificate: string | Buffer;
  readonly key: string | Buffer;
}

export interface Listener {
  readonly port: number;
  /**
   * Uses this server and identity for new connections. If the server or the CA changes, the listener closes existing
   * connections after two seconds. Otherwise, they stay open.
   */
  admit(admission: Admission): void;
  /** Stops accepting connections; running calls have two seconds to end. */
  close(): Promise<void>;
}

type Injector = ReturnType<Server["createConnectionInjector"]>;

const graceMillis = 2_000;

/**
 * Reads the identity from these files: the management CA's certificate, the agent's certificate, and the agent's key.
 */
export async function readAdmission(paths: IdentityPaths): Promise<Omit<Admission, "server">> {
  const [ca, certificate, key] = await Promise.all([
    readFile(paths.ca),
    readFile(paths.certificate),
    readFile(paths.key),
  ]);
  return { ca, certificate, key };
}

/** A handshake takes milliseconds, or about a second over a slow link. */
const handshakeMillis = 5_000;
/** TCP keep-alive detects peers that disappeared silently. */
const keepAliveMillis = 30_000;

/**
 * Opens the agent's API port. Callers need TLS 1.3 and a valid certificate from the management CA. A caller without
 * such a certificate is refused before an HTTP/2 session exists. The agent sends the reason (proto/refusal.ts) and
 * closes the socket.
 */
export async function openListener(admission: Admission, { host, port, log }: ListenerOptions): Promise<Listener> {
  const injectors = new Map<Server, Injector>();
  const injectorOf = (server: Server): Injector => {
    const known = injectors.get(server);
    if (known !== undefined) return known;
    const injector = server.createConnectionInjector(ServerCredentials.createInsecure());
    injectors.set(server, injector);
    return injector;
  };
  let { server, ca } = admission;
  injectorOf(server);
  const refused = countRefusedPeers(log);
  const limits = limitConnections();
  /** The connections whose handshake is in progress, keyed by the peer's address and port. */
  const beginning = new Map<string, Socket>();

  const tls = createServer({
    ...contextOf(admission),
    ALPNProtocols: ["h2"],
    requestCert: true,
    rejectUnauthorized: false,
    handshakeTimeout: handshakeMillis,
  });
  tls.on("secureConnection", (socket) => {
    socket.on("error", () => socket.destroy());
    const address = addressOf(socket);
    try {
      if (socket.alpnProtocol !== "h2") throw new KhwError("INVALID_ARGUMENT", "the caller does not speak HTTP/2");
      const { serial, role } = authenticate(socket);
      const leave = limits.enter({ address, caller: serial, role });
      socket.once("close", leave);
    } catch (error) {
      const refusal = toKhwError(error);
      refused.add(address, refusal.message);
      refuseConnection(socket, refusal);
      return;
    }
    const raw = beginning.get(peerOf(socket));
    if (raw !== undefined) limits.end(raw);
    // gRPC has no half-closed connections. A peer that ends its side of the connection has left, even if the peer has
    // not read all responses.
    socket.once("end", () => socket.destroy());
    injectorOf(server).injectConnection(socket);
  });
  tls.on("tlsClientError", (error, socket) => refused.add(addressOf(socket), `no TLS connection: ${error.message}`));

  const tcp = createTcpServer({ noDelay: true, keepAlive: true, keepAliveInitialDelay: keepAliveMillis }, (socket) => {
    const address = addressOf(socket);
    const peer = peerOf(socket);
    if (!limits.begin(socket, address)) {
      refused.add(address, "too many connections at once");
      socket.destroy();
      return;
    }
    beginning.set(peer, socket);
    socket.once("close", () => {
      limits.end(socket);
      beginning.delete(peer);
    });
    tls.emit("connection", socket);
  });
  await bind(tcp, host, port);
  tcp.on("error", (error) => log(`cannot accept a connection: ${error.message}`));
  const listening = tcp.address();
  return {
    port: typeof listening === "object" && listening !== null ? listening.port : port,
    admit: (next) => {
      tls.setSecureContext(contextOf(next));
      const sameCa = Buffer.from(next.ca).equals(Buffer.from(ca));
      ({ ca } = next);
      if (next.server === server && sameCa) return;
      // Callers that were verified with another CA, or that use another server, must reconnect. A drained injector ends
      // all its connections, including ones that are added later. New connections therefore get a new injector.
      injectors.get(server)?.drain(graceMillis);
      injectors.delete(server);
      ({ server } = next);
    },
    close: async () => {
      const { promise: ended, resolve: end } = Promise.withResolvers<void>();
      const timer = setTimeout(end, graceMillis);
      // The callback runs after the last connection has closed. tryShutdown of grpc-js does not wait for injected
      // connections.
      tcp.close(() => end());
      for (const injector of injectors.values()) injector.destroy();
      await ended;
      clearTimeout(timer);
      refused.close();
      server.forceShutdown();
    },
  };
}

/** Sends the reason and ends the connection. Destroys the connection if the peer does not end its side. */
function refuseConnection(socket: TLSSocket, error: KhwError): void {
  const timer = setTimeout(() => socket.destroy(), refusalMillis);
  socket.once("close", () => clearTimeout(timer));
  socket.end(encodeRefusal(error));
}

const refusalMillis = 1_000;

function contextOf({ ca, certificate, key }: Admission): SecureContextOptions {
  return {
    ca,
    cert: certificate,
    key,
    minVersion: "TLSv1.3",
    // Without session tickets, every connection makes a full handshake that verifies the certificate. OpenSSL still
    // offers session resumption by ID, which is cheaper than a ticket. No session is ever resumed, because no sessions
    // are stored.
    secureOptions: constants.SSL_OP_NO_TICKET,
  };
}

async function bind(tcp: TcpServer, host: string, port: number): Promise<void> {
  tcp.listen({ host, port });
  try {
    await once(tcp, "listening");
  } catch (cause) {
    const reason = cause instanceof Error ? cause.message : String(cause);
    throw new KhwError("IO_FAILED", `cannot listen on ${host}:${port}: ${reason}`, {
      hint: "stop the program that is using this port, or set another port with `listen` in the agent's configuration",
      cause,
    });
  }
}

function addressOf(socket: Socket): string {
  return socket.remoteAddress?.replace(/^::ffff:/, "") ?? "an unknown address";
}

function peerOf(socket: Socket): string {
  return `${addressOf(socket)}:${socket.remotePort ?? "?"}`;
}
