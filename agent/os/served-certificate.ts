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
   * The time in the Date header of the server's response, in milliseconds since the epoch; absent without that header.
   */
  readonly serverTime?: number;
}

/**
 * Returns the certificate of a server whose verification failed. A second request, without verification, reads the
 * certificate; only the time in its response is used. Undefined if the server does not answer this time.
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
    // A failed request is no problem, because the server presents its certificate earlier.
  }
  return certificate;
}

/** Returns the certificate that a connection's server presented; undefined before the end of the handshake. */
export function certificateOf(socket: TLSSocket): ServedCertificate | undefined {
  // getPeerX509Certificate would return the certificate only once for each connection.
  const { raw } = socket.getPeerCertificate();
  if (raw === undefined) return undefined;
  const { subject, fingerprint256: fingerprint, validFromDate, validToDate } = new X509Certificate(raw);
  return {
    // OpenSSL lists the parts of a name from the root; people write them in the opposite order.
    subject: (subject ?? "").split("\n").toReversed().join(","),
    fingerprint,
    validFrom: validFromDate.getTime(),
    validTo: validToDate.getTime(),
  };
}
