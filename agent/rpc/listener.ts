import { constants } from "node:crypto";
import { once } from "node:events";
import { readFile } from "node:fs/promises";
import { createServer, type SecureContextOptions, type Server as TlsServer, type TLSSocket } from "node:tls";
import { type Server, ServerCredentials } from "@grpc/grpc-js";
import { KhwError } from "../../proto/errors.ts";
import type { IdentityPaths } from "../certificates/next.ts";

export interface ListenerOptions {
  readonly host: string;
  readonly port: number;
  readonly log: (line: string) => void;
}

/** Who answers, and as whom; PEM. */
export interface Admission {
  readonly server: Server;
  readonly ca: string | Buffer;
  readonly certificate: string | Buffer;
  readonly key: string | Buffer;
}

export interface Listener {
  readonly port: number;
  /**
   * Admits whoever connects from now on so. Connections that stand go on as they are; with another server than before, they
   * have two seconds to end.
   */
  admit(admission: Admission): void;
  /** Lets nobody in any more, and calls that run two seconds to end. */
  close(): Promise<void>;
}

type Injector = ReturnType<Server["createConnectionInjector"]>;

const graceMillis = 2_000;

/** The identity in these files: of the management CA's certificate, the agent's certificate, and its key. */
export async function readAdmission(paths: IdentityPaths): Promise<Omit<Admission, "server">> {
  const [ca, certificate, key] = await Promise.all([
    readFile(paths.ca),
    readFile(paths.certificate),
    readFile(paths.key),
  ]);
  return { ca, certificate, key };
}

/**
 * The only way in: TLS 1.3, and a certificate is asked of every caller. A caller without a valid one gets as far as the
 * authorization of its first call, which tells it so; grpc-js's own listener could neither insist on 1.3 nor log who it
 * turned away.
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
  let { server } = admission;
  injectorOf(server);
  const tls = createServer({
    ...contextOf(admission),
    ALPNProtocols: ["h2"],
    requestCert: true,
    rejectUnauthorized: false,
    handshakeTimeout: 10_000,
  });
  tls.on("secureConnection", (socket) => {
    if (socket.alpnProtocol !== "h2") {
      log(`no HTTP/2 spoken by ${peer(socket)}`);
      socket.destroy();
      return;
    }
    if (!socket.authorized) log(`no valid certificate from ${peer(socket)}: ${String(socket.authorizationError)}`);
    injectorOf(server).injectConnection(socket);
  });
  tls.on("tlsClientError", (error, socket) => log(`no TLS connection with ${peer(socket)}: ${error.message}`));
  await bind(tls, host, port);
  tls.on("error", (error) => log(`cannot accept a connection: ${error.message}`));
  const address = tls.address();
  return {
    port: typeof address === "object" && address !== null ? address.port : port,
    admit: (next) => {
      tls.setSecureContext(contextOf(next));
      if (next.server === server) return;
      injectors.get(server)?.drain(graceMillis);
      injectors.delete(server);
      ({ server } = next);
    },
    close: async () => {
      const { promise: ended, resolve: end } = Promise.withResolvers<void>();
      const timer = setTimeout(end, graceMillis);
      // Closes when its last connection does; grpc-js's own tryShutdown does not wait for those that were injected.
      tls.close(() => end());
      for (const injector of injectors.values()) injector.destroy();
      await ended;
      clearTimeout(timer);
      server.forceShutdown();
    },
  };
}

function contextOf({ ca, certificate, key }: Admission): SecureContextOptions {
  return {
    ca,
    cert: certificate,
    key,
    minVersion: "TLSv1.3",
    // Every connection is a full handshake, with its certificates looked at. What OpenSSL still offers for resuming one is a
    // number of a session that nobody keeps, which costs less to make than a ticket with the session inside.
    secureOptions: constants.SSL_OP_NO_TICKET,
  };
}

async function bind(tls: TlsServer, host: string, port: number): Promise<void> {
  tls.listen({ host, port });
  try {
    await once(tls, "listening");
  } catch (cause) {
    const reason = cause instanceof Error ? cause.message : String(cause);
    throw new KhwError("IO_FAILED", `cannot listen on ${host}:${port}: ${reason}`, {
      hint: "is another agent running? `listen` in the configuration names the address",
      cause,
    });
  }
}

function peer(socket: TLSSocket): string {
  return `${socket.remoteAddress ?? "an unknown address"}:${socket.remotePort ?? "?"}`;
}
