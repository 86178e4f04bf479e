import { X509Certificate } from "node:crypto";
import { TLSSocket } from "node:tls";
import { type HttpRequest, openRequest } from "./exchange.ts";

/** A certificate that a server presented, and the time on the server's clock. */
export interface ServedCertificate {
  /** For example "CN=kubernetes,O=Kubernetes". */
  readonly subject: string;
  /** The SHA-256 fingerprint, in the format of Node's X509Certificate. */
  readonly fingerprint: string;
  /** The validity period, in milliseconds since the epoch. */
  readonly validFrom: number;
  readonly validTo: number;
  /**
   * The time in the Date header of the server's response, in milliseconds since the epoch; absent if there is no such
   * header.
   */
  readonly serverTime?: number;
}

/**
 * Returns a server certificate that failed verification. Sends a second request without verification, and reads the
 * certificate from the connection. Uses only the time from the response. Returns undefined if the server presents no
 * certificate to the second request.
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
    // A failed request does not matter, because the server presents its certificate before it answers.
  }
  return certificate;
}

/** Returns the certificate that a connection's server presented; undefined before the handshake is complete. */
export function certificateOf(socket: TLSSocket): ServedCertificate | undefined {
  // Does not use getPeerX509Certificate, which returns the certificate only once for each connection.
  const { raw } = socket.getPeerCertificate();
  if (raw === undefined) return undefined;
  const { subject, fingerprint256: fingerprint, validFromDate, validToDate } = new X509Certificate(raw);
  return {
    // OpenSSL lists the parts of a name starting from the root, but the usual notation has the reverse order.
    subject: (subject ?? "").split("\n").toReversed().join(","),
    fingerprint,
    validFrom: validFromDate.getTime(),
    validTo: validToDate.getTime(),
  };
}
