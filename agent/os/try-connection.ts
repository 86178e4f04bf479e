import { connect } from "node:net";
import { codeOf } from "../../proto/errno.ts";

/** See Probes.connect. */
export function tryConnection(
  address: string,
  {
    port,
    timeoutMillis,
    signal,
  }: { readonly port: number; readonly timeoutMillis: number; readonly signal: AbortSignal },
): Promise<string> {
  const late = AbortSignal.timeout(timeoutMillis);
  return new Promise((resolve, reject) => {
    const socket = connect({ host: address, port, signal: AbortSignal.any([signal, late]) });
    socket.on("connect", () => {
      socket.destroy();
      resolve("");
    });
    socket.on("error", (error) => {
      if (signal.aborted) reject(error);
      else resolve(late.aborted ? "ETIMEDOUT" : codeOf(error) || "EIO");
    });
  });
}
