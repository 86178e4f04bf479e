import type { X509Certificate } from "node:crypto";
import { setTimeout as delay } from "node:timers/promises";
import { connect } from "node:tls";
import { KhwError } from "../../proto/errors.ts";
import type { NodeAddress } from "../cluster/channel.ts";

export interface ProbeOptions {
  /** How long to wait until a program listens there, in milliseconds. */
  readonly waitMillis: number;
  readonly signal: AbortSignal;
}

const attemptMillis = 10_000;
const againMillis = 500;

/**
 * Returns the certificate at the node's address, trusted or not, as soon as a program listens there.
 * @throws KhwError UNREACHABLE
 */
export async function probeCertificate(
  { name, host, port }: NodeAddress,
  { waitMillis, signal }: ProbeOptions,
): Promise<X509Certificate> {
  const end = Date.now() + waitMillis;
  for (;;) {
    signal.throwIfAborted();
    try {
      return await shownCertificate({ host, port, servername: name });
    } catch (cause) {
      const reason = cause instanceof Error ? cause.message : String(cause);
      if (Date.now() >= end) {
        throw new KhwError(
          "UNREACHABLE",
          `no agent listens at ${host}:${port} after ${waitMillis / 1000} s: ${reason}`,
          {
            node: name,
            hint: "is khw-agent installed there, and its port open to here?",
            cause,
          },
        );
      }
    }
    await delay(againMillis, undefined, { signal }).catch(() => signal.throwIfAborted());
  }
}

async function shownCertificate(to: { host: string; port: number; servername: string }): Promise<X509Certificate> {
  const socket = connect({ ...to, minVersion: "TLSv1.3", rejectUnauthorized: false, ALPNProtocols: ["h2"] });
  try {
    return await new Promise<X509Certificate>((resolve, reject) => {
      socket.setTimeout(attemptMillis, () => reject(new Error("no answer in time")));
      socket.once("error", reject);
      socket.once("secureConnect", () => {
        const shown = socket.getPeerX509Certificate();
        if (shown === undefined) reject(new Error("no certificate is shown"));
        else resolve(shown);
      });
    });
  } finally {
    socket.destroy();
  }
}
