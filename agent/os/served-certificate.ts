import { X509Certificate } from "node:crypto";
import { TLSSocket } from "node:tls";
import { type HttpRequest, openRequest } from "./exchange.ts";

/** A certificate that a server presented, and that server's clock. */
export interface ServedCertificate {
  /** For example "CN=kubernetes,O=Kubernetes". */
  readonly subject: string;
  /** SHA-256, in the format of X509Certificate. */
  readonly fingerprint: string;
  /** In milliseconds since the epoch. */
  readonly validFrom: number;
  readonly validTo: number;
  /**
   * The time in the server's answer (its Date header), in milliseconds since the epoch; absent without that header.
   */
  readonly serverTime?: number;
}

/**
 * Returns the certificate of a server whose verification failed. A second request, without verification, reads it; only
 * the time in its answer is used. Undefined if the server does not answer this time.
 */
export async function askCertificate(url: URL, options: HttpRequest): Promise<ServedCertificate | undefined> {
  let certificate: ServedCertificate | undefined;
  try {
    await new Promise<void>((resolve, reject) => {
      const request = openRequest(url, { ...options, tls: { ...options.tls, rejectUnauthorized: false } });
      request.once("socket", (socket) => {
        socket.once("secureConnect", () => {
          certificate = socket instanceof TLSSocket ? certificateOf(socket) : undefined;
        });
      });
      request.once("response", ({ headers }) => {
        const serverTime = Date.parse(headers.date ?? "");
        if (certificate !== undefined && !Number.isNaN(serverTime)) certificate = { ...certificate, serverTime };
        request.destroy();
        resolve();
      });
      request.once("error", reject).end();
    });
  } catch {
    // The server presents its certificate before a request can fail.
  }
  return certificate;
}

/** Returns the certificate that a connection's server presented; undefined before the end of the handshake. */
export function certificateOf(socket: TLSSocket): ServedCertificate | undefined {
  // getPeerX509Certificate would answer only once for each connection.
  const { raw } = socket.getPeerCertificate();
  if (raw === undefined) return undefined;
  const { subject, fingerprint256: fingerprint, validFromDate, validToDate } = new X509Certificate(raw);
  return {
    // OpenSSL lists a name from its root; people write it in the opposite order.
    subject: (subject ?? "").split("\n").toReversed().join(","),
    fingerprint,
    validFrom: validFromDate.getTime(),
    validTo: validToDate.getTime(),
  };
}
