import { TLSSocket } from "node:tls";
import { codeOf } from "../../proto/errno.ts";

/** Why a request got no HTTP response, and whether the server is running. */
export type ProbeFailure =
  /** The connection was refused. */
  | "refused"
  /** No connection was made before the timeout. */
  | "unconnected"
  /** A connection was made, but no response arrived before the timeout. */
  | "silent"
  /** The server closed the connection without a response, or its response was not HTTP. */
  | "closed"
  /** The server's certificate failed verification, so the server is running. */
  | "unverified"
  /**
   * The server refused the TLS handshake, for example because of the client's certificate, so the server is running.
   */
  | "rejected"
  /** The caller itself failed (no file descriptors, no route, busy event loop), so the server's state is unknown. */
  | "own";

const failures: Readonly<Record<string, ProbeFailure | undefined>> = {
  ECONNREFUSED: "refused",
  ETIMEDOUT: "unconnected",
  ECONNRESET: "closed",
  EPIPE: "closed",
  EPROTO: "rejected",
};

/**
 * Determines from a request's error why there was no response, and what this shows about the server. An unknown error
 * counts as the caller's own failure, so it is not evidence against the server.
 * @param socket the request's connection, if there was one
 */
export function failureOf(error: unknown, socket: unknown): ProbeFailure {
  if (isUnverified(socket)) return "unverified";
  const code = codeOf(error);
  const known = failures[code];
  if (known !== undefined) return known;
  // The HTTP parser and OpenSSL report these errors about bytes that the server sent.
  if (code.startsWith("HPE_")) return "closed";
  return code.startsWith("ERR_SSL_") ? "rejected" : "own";
}

/** Whether the handshake was completed but the server's certificate failed verification. */
function isUnverified(socket: unknown): boolean {
  // Node sets this field to the reason if the verification fails. Until then, the field is null.
  return socket instanceof TLSSocket && Boolean(socket.authorizationError);
}
