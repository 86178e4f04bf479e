import type { X509Certificate } from "node:crypto";
import { connect } from "node:tls";
import { KhwError } from "../../proto/errors.ts";
import { type Look, waitFor } from "../../proto/wait-for.ts";
import type { NodeAddress } from "../cluster/channel.ts";

export interface ProbeOptions {
  /** How long to wait, in milliseconds, for a program to listen on the address. */
  readonly waitMillis: number;
  readonly signal: AbortSignal;
}

const attemptMillis = 10_000;
const againMillis = 500;

/**
 * Returns the certificate at the node's address, trusted or not, as soon as a program is listening there.
 * @throws KhwError UNREACHABLE
 */
export async function probeCertificate(
  { name, host, port }: NodeAddress,
  { waitMillis, signal }: ProbeOptions,
): Promise<X509Certificate> {
  const check = async (): Promise<Look<X509Certificate>> => {
    signal.throwIfAborted();
    try {
      return { reached: await shownCertificate({ host, port, servername: name }) };
    } catch (cause) {
      return { seen: cause instanceof Error ? cause.message : String(cause), cause };
    }
  };
  return waitFor({
    what: `no agent is listening at ${host}:${port}`,
    check,
    deadlineMillis: waitMillis,
    intervalMillis: againMillis,
    signal,
    late: ({ message, cause }) =>
      new KhwError("UNREACHABLE", message, {
        node: name,
        hint: "check that khw-agent is installed on the node and that its port can be reached from here",
        cause,
      }),
  });
}

async function shownCertificate(to: { host: string; port: number; servername: string }): Promise<X509Certificate> {
  const socket = connect({ ...to, minVersion: "TLSv1.3", rejectUnauthorized: false, ALPNProtocols: ["h2"] });
  try {
    return await new Promise<X509Certificate>((resolve, reject) => {
      socket.setTimeout(attemptMillis, () => reject(new Error("no answer in time")));
      socket.once("error", reject);
      socket.once("secureConnect", () => {
        const shown = socket.getPeerX509Certificate();
        if (shown === undefined) reject(new Error("the server sent no certificate"));
        else resolve(shown);
      });
    });
  } finally {
    socket.destroy();
  }
}
