import { TLSSocket } from "node:tls";
import { codeOf } from "./io.ts";
import type { ProbeFailure } from "./os.ts";

const failures: Readonly<Record<string, ProbeFailure | undefined>> = {
  ECONNREFUSED: "refused",
  ETIMEDOUT: "unconnected",
  ECONNRESET: "closed",
  EPIPE: "closed",
  EPROTO: "rejected",
};

/**
 * What the error of a request says of the server that was asked. An error that is not known is the asker's own: it is no
 * evidence against the server.
 * @param socket The request's connection, where there was one.
 */
export function failureOf(error: unknown, socket: unknown): ProbeFailure {
  if (isUnverified(socket)) return "unverified";
  const code = codeOf(error);
  const known = failures[code];
  if (known !== undefined) return known;
  // The parser of HTTP answers, and OpenSSL: both speak of bytes that the server sent.
  if (code.startsWith("HPE_")) return "closed";
  return code.startsWith("ERR_SSL_") ? "rejected" : "own";
}

/** The handshake was finished, and the server's certificate failed verification. */
function isUnverified(socket: unknown): boolean {
  // Node sets it to the reason, and to null until there is one.
  return socket instanceof TLSSocket && Boolean(socket.authorizationError);
}
