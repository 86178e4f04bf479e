import { createSecureContext, getCACertificates } from "node:tls";
import type { Dispatcher } from "undici";

export interface DispatcherOptions {
  /** A proxy's URL; empty: as the environment says (HTTPS_PROXY, HTTP_PROXY, NO_PROXY), or none. */
  readonly proxy: string;
  /** Certificates trusted beside the system's. */
  readonly caPem: string;
  readonly connectMillis: number;
}

/** What speaks HTTP to the mirrors; its owner destroys it. */
export async function createDispatcher({ proxy, caPem, connectMillis }: DispatcherOptions): Promise<Dispatcher> {
  const { EnvHttpProxyAgent, ProxyAgent } = await import("undici");
  const system = getCACertificates("system");
  const tls = {
    // Made once, since parsing the system's certificates for each connection is what costs.
    secureContext: createSecureContext({
      ca: [...(system.length > 0 ? system : getCACertificates("bundled")), ...(caPem === "" ? [] : [caPem])],
      // Mirrors are other people's servers: 1.2 is enough for them, whatever the agent asks of its own callers.
      minVersion: "TLSv1.2",
    }),
    timeout: connectMillis,
  };
  const options = { connect: tls, requestTls: tls, proxyTls: tls };
  return proxy === "" ? new EnvHttpProxyAgent(options) : new ProxyAgent({ ...options, uri: proxy });
}
