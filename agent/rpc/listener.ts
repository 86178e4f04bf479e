import { constants } from "node:crypto";
import { once } from "node:events";
import { readFile } from "node:fs/promises";
import { createServer, type Server as TlsServer, type TLSSocket } from "node:tls";
import { type Server, ServerCredentials } from "@grpc/grpc-js";
import { KhwError } from "../../proto/errors.ts";

export interface ListenerOptions {
  readonly host: string;
  readonly port: number;
  /** Paths of the management CA's certificate, the agent's certificate, and its key. */
  readonly identity: { readonly ca: string; readonly certificate: string; readonly key: string };
  readonly log: (line: string) => void;
}

export interface Listener {
  readonly port: number;
  /** Lets nobody in any more, and calls that run two seconds to end. */
  close(): Promise<void>;
}

const graceMillis = 2_000;

/**
 * The only way in: TLS 1.3, and a certificate is asked of every caller. A caller without a valid one gets as far as the
 * authorization of its first call, which tells it so; grpc-js's own listener could neither insist on 1.3 nor log who it
 * turned away.
 */
export async function listen(server: Server, { host, port, identity, log }: ListenerOptions): Promise<Listener> {
  const injector = server.createConnectionInjector(ServerCredentials.createInsecure());
  const [ca, cert, key] = await Promise.all(
    [identity.ca, identity.certificate, identity.key].map((path) => readFile(path)),
  );
  const tls = createServer({
    ...(ca === undefined ? {} : { ca }),
    ...(cert === undefined ? {} : { cert }),
    ...(key === undefined ? {} : { key }),
    minVersion: "TLSv1.3",
    // Every connection is a full handshake, with its certificates looked at. What OpenSSL still offers for resuming one is a
    // number of a session that nobody keeps, which costs less to make than a ticket with the session inside.
    secureOptions: constants.SSL_OP_NO_TICKET,
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
    injector.injectConnection(socket);
  });
  tls.on("tlsClientError", (error, socket) => log(`no TLS connection with ${peer(socket)}: ${error.message}`));
  await bind(tls, host, port);
  tls.on("error", (error) => log(`cannot accept a connection: ${error.message}`));
  const address = tls.address();
  return {
    port: typeof address === "object" && address !== null ? address.port : port,
    close: async () => {
      const { promise: ended, resolve: end } = Promise.withResolvers<void>();
      const timer = setTimeout(end, graceMillis);
      // Closes when its last connection does; grpc-js's own tryShutdown does not wait for those that were injected.
      tls.close(() => end());
      injector.destroy();
      await ended;
      clearTimeout(timer);
      server.forceShutdown();
    },
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
